/** A port of this machine that leads to a service beside it: through `causeway forward`, relays, and `causeway listen --forward`. */
import * as Effect from "effect/Effect"
import * as Command from "./command.ts"

export interface ForwardedPort {
  readonly port: number
  readonly forwarder: Command.RunningCommand
  readonly listener: Command.RunningCommand
}

/** Ready when the peers are connected. */
export const forwardedPort = Effect.fnUntraced(
  function*(service: number, relays: ReadonlyArray<{ readonly address: string }>) {
    const me = yield* Command.identity("listener")
    const use = relays.flatMap(({ address }) => ["--relay", address])
    const to = `127.0.0.1:${service}`
    const listener = yield* Command.start(["listen", "--identity", me.file, ...use, "--forward", to])
    const { ticket } = yield* listener.next("ticket")
    const forwarder = yield* Command.start(["forward", String(ticket), "--listen", "127.0.0.1:0"])
    const { port } = yield* forwarder.next("listening")
    return { port: Number(port), forwarder, listener } satisfies ForwardedPort
  }
)
