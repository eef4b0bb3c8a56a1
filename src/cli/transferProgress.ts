/** Shows how far files are: a redrawn line with a bar on a terminal, an event a second with `--json`. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { humanBytes, oneLine, type Output } from "./output.ts"
import * as ProgressLine from "./progressLine.ts"

/** A file on its way. */
export interface Moving {
  readonly name: string
  readonly size: number
  /** Bytes that the receiver has. */
  readonly done: () => number
  /** What else is being done with it, such as reading it for its checksum. */
  readonly stage?: () => string | undefined
}

export interface TransferProgress {
  /** Shows the file until the scope closes. */
  readonly show: (moving: Moving) => Effect.Effect<void, never, Scope.Scope>
  /** Clears the redrawn line, for something that stays on the screen. */
  readonly clear: Effect.Effect<void>
}

/** How often the line is redrawn, milliseconds, and how many times that is between two events. */
const interval = 200
const looksPerEvent = 5

const describe = (moving: ReadonlyArray<Moving>, rate: number): readonly [part: number, text: string] => {
  const done = moving.reduce((sum, file) => sum + file.done(), 0)
  const size = moving.reduce((sum, file) => sum + file.size, 0)
  const part = size === 0 ? 1 : done / size
  const [first] = moving
  const what = moving.length === 1 && first !== undefined ? oneLine(first.name) : `${moving.length} files`
  const stage = first?.stage?.()
  return [
    part,
    stage === undefined ? `${ProgressLine.describe(part, humanBytes(done), rate)}  ${what}` : `${stage} ${what}`
  ]
}

/** Starts showing; the scope ends it. */
export const make = Effect.fnUntraced(function*(
  output: Output,
  target: ProgressLine.Target
): Effect.fn.Return<TransferProgress, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const line = ProgressLine.make(output.json ? { write: () => undefined } : target, 0)
  const files = new Map<Moving, number>()
  let looks = 0
  let lookedAt = clock.monotonicTimeNanosUnsafe()
  const look = Effect.suspend(() => {
    const now = clock.monotonicTimeNanosUnsafe()
    let moved = 0
    for (const [file, before] of files) {
      const done = file.done()
      moved += done - before
      files.set(file, done)
    }
    const moving = Array.from(files.keys())
    if (moving.length > 0) line.draw(...describe(moving, moved * 1e3 / Number(now - lookedAt)))
    lookedAt = now
    if (++looks % looksPerEvent !== 0 || !output.json) return Effect.void
    const records = moving.filter((file) => file.stage?.() === undefined).map((file) =>
      output.event({ event: "progress", name: file.name, bytes: file.done(), size: file.size })
    )
    return Effect.all(records, { discard: true })
  })
  yield* Effect.addFinalizer(() => Effect.sync(line.end))
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(interval), look)))
  return {
    show: (moving) =>
      Effect.acquireRelease(
        Effect.sync(() => void files.set(moving, moving.done())),
        () => Effect.sync(() => void files.delete(moving))
      ),
    clear: Effect.sync(line.end)
  }
})
