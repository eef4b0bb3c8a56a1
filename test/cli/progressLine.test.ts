import { describe, expect, it } from "vitest"
import * as ProgressLine from "../../src/cli/progressLine.ts"

const record = (terminal: { readonly isTTY?: boolean; readonly columns?: number }, plainEvery: number) => {
  const written: Array<string> = []
  return { written, line: ProgressLine.make({ ...terminal, write: (text) => written.push(text) }, plainEvery) }
}

describe("progressLine", () => {
  it("draws a bar that is full at the end only", () => {
    const { line, written } = record({ isTTY: true, columns: 80 }, 0)
    for (const part of [0, 0.5, 0.999, 1]) line.draw(part, "text")
    expect(written.map((text) => text.replace("\r\u001b[2K", ""))).toEqual([
      "[................] text",
      "[########........] text",
      "[###############.] text",
      "[################] text"
    ])
  })

  it("writes nothing without a terminal unless lines are wanted", () => {
    const none = record({}, 0)
    none.line.draw(0.5, "text")
    none.line.end()
    expect(none.written).toEqual([])
    const some = record({}, 2)
    for (const text of ["a", "b", "c"]) some.line.draw(0.5, text)
    expect(some.written).toEqual(["a\n", "c\n"])
  })

  it("rounds down to whole percent, whatever the division makes of it", () => {
    const percents = Array.from(
      { length: 101 },
      (_, part) => ProgressLine.describe(part / 100, "1 B", 0).split(" %")[0]
    )
    expect(percents.map(Number)).toEqual(Array.from({ length: 101 }, (_, part) => part))
  })
})
