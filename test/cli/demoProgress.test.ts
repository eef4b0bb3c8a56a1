/** The two forms of the demonstration's progress. */
import { describe, expect, it } from "vitest"
import * as Progress from "../../src/cli/demoProgress.ts"

const sample: Progress.Sample = {
  received: 50_000_000,
  size: 200_000_000,
  rate: 41.26,
  relayRates: [undefined, 41.2, 0]
}

const record = (terminal: { readonly isTTY?: boolean; readonly columns?: number }) => {
  const written: Array<string> = []
  return { written, progress: Progress.make({ ...terminal, write: (text) => written.push(text) }) }
}

describe("demoProgress", () => {
  it("says how much, how fast and through which relay", () => {
    expect(Progress.describe(sample)).toBe(" 25 %  50.0 MB  41.3 MB/s  (by relay: killed, 41.2, 0.0)")
  })

  it("redraws one line on a terminal and clears it at the end", () => {
    const { progress, written } = record({ isTTY: true, columns: 100 })
    progress.update(sample)
    progress.happened("killed")
    progress.end()
    expect(written).toEqual([
      `\r\u001b[2K[####............] ${Progress.describe(sample)}`,
      "\r\u001b[2Kkilled\n",
      "\r\u001b[2K"
    ])
  })

  it("never writes a line that a narrow terminal would wrap", () => {
    const { progress, written } = record({ isTTY: true, columns: 40 })
    progress.update(sample)
    expect(written[0]!.replace("\r\u001b[2K", "")).toHaveLength(39)
  })

  it("writes a plain line a second elsewhere, without control characters", () => {
    const { progress, written } = record({})
    for (let samples = 0; samples < 11; samples++) progress.update(sample)
    progress.end()
    expect(written.filter((text) => text !== "")).toEqual([
      `${Progress.describe(sample)}\n`,
      `${Progress.describe(sample)}\n`
    ])
  })
})
