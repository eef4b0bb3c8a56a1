/** A process whose standard input and output are piped to a session; the peer, in the same process, echoes everything. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { pipe } from "../../src/cli/pipe.ts"
import { openSession } from "../utils/sessionPair.ts"

const program = Effect.gen(function*() {
  const { a, b } = yield* openSession()
  const echo = Stream.runForEachArray(b.session.stream, b.session.write).pipe(Effect.andThen(b.session.end))
  yield* Effect.forkScoped(echo)
  const piping = pipe(a.session, { emptyInput: process.argv[2] === "follows" ? "follows" : "ends" })
  yield* Effect.forkScoped(Effect.sync(() => process.stderr.write("ready\n")))
  const { bytesReceived, bytesSent } = yield* piping
  process.stderr.write(`${bytesSent} ${bytesReceived}\n`)
}).pipe(
  Effect.scoped,
  Effect.catch((error) =>
    Effect.sync(() => {
      process.stderr.write(`${error.message}\n`)
      process.exitCode = 1
    })
  )
)

NodeRuntime.runMain(program)
