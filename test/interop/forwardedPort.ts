/** A port of this machine that leads to a service beside it through `causeway forward`, three tox-bootstrapd and `causeway listen --forward`. */
import * as Effect from "effect/Effect"
import * as Command from "./command.ts"
import * as Stock from "./stockRelays.ts"

export interface ForwardedPort {
  readonly port: number
  readonly relays: ReadonlyArray<Stock.StockRelay>
  readonly forwarder: Command.RunningCommand
  readonly listener: Command.RunningCommand
}

/** Relays are started at these ports, below 32768. Ready when the peers are connected. */
export const forwardedPort = Effect.fnUntraced(function*(service: number, relayPorts: ReadonlyArray<number>) {
  const relays = yield* Effect.forEach(relayPorts, Stock.start)
  const me = yield* Command.identity("listener")
  const use = relays.flatMap(({ address }) => ["--relay", address])
  const listener = yield* Command.start(["listen", "--identity", me.file, ...use, "--forward", `127.0.0.1:${service}`])
  const { ticket } = yield* listener.next("ticket")
  const forwarder = yield* Command.start(["forward", String(ticket), "--listen", "127.0.0.1:0"])
  const { port } = yield* forwarder.next("listening")
  return { port: Number(port), relays, forwarder, listener } satisfies ForwardedPort
})
