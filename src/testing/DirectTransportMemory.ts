/**
 * `DirectTransport` inside the process, over the same network as `RelayTransportMemory`: partitions, freezes and latency work on direct
 * streams likewise, and everything happens in the same order every time. Keys are really checked; nothing is encrypted.
 *
 * Both transports of a machine share a network like this:
 * `DirectTransportMemory.transportOf(m).pipe(Layer.provideMerge(RelayTransportMemory.transportOf(m)), Layer.provideMerge(RelayTransportMemory.network()))`.
 */
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { PendingCallers } from "../protocol/direct/PendingCallers.ts"
import type { IpEndpoint } from "../schema/IpEndpoint.ts"
import { DirectSettings } from "../services/DirectSettings.ts"
import { type DirectListener, type DirectSecret, DirectTransport } from "../services/DirectTransport.ts"
import { TransportError } from "../services/RelayTransport.ts"
import * as memoryDirectHandshake from "./memoryDirectHandshake.ts"
import * as memoryDirectStream from "./memoryDirectStream.ts"
import { MemoryNetwork } from "./MemoryNetwork.ts"
import * as RelayTransportMemory from "./RelayTransportMemory.ts"

/** The machine that `layer` stands on. */
const loopback = "127.0.0.1"
const firstEphemeralPort = 49_152
const ephemeralPorts = 16_384
const wildcards: ReadonlySet<string> = new Set(["", "0.0.0.0", "::"])

const timedOut = new TransportError({ kind: "Denied", detail: "ETIMEDOUT" })

const make = Effect.fnUntraced(function*(machine: string) {
  const network = yield* MemoryNetwork
  const numbers = yield* DirectSettings
  const transport = network.transport(machine)
  const run = yield* FiberSet.makeRuntime<never, void, never>()
  let dials = 0

  const connect = (endpoint: IpEndpoint, secret: DirectSecret) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function*() {
        const dial = dials++
        const scope = yield* Scope.fork(yield* Scope.Scope)
        const secured = Effect.gen(function*() {
          const connection = yield* transport.connect(endpoint)
          const reader = memoryDirectHandshake.reader(connection)
          yield* memoryDirectHandshake.asClient(reader, secret, {
            port: firstEphemeralPort + dial % ephemeralPorts,
            nonce: memoryDirectHandshake.nonce(`${machine} dials ${dial}`)
          })
          return yield* memoryDirectStream.make(connection, reader.rest(), run, {
            remote: { host: endpoint.host, port: endpoint.port },
            pskIdentity: secret.pskIdentity
          })
        })
        return yield* restore(Scope.provide(secured, scope)).pipe(
          Effect.onExit((exit) => exit._tag === "Failure" ? Scope.close(scope, exit) : Effect.void)
        )
      })
    )

  const listen = Effect.fnUntraced(function*(
    address: { readonly host: string; readonly port: number },
    pskOf: (pskIdentity: string, remote: IpEndpoint) => Uint8Array | undefined
  ) {
    const { host, port, serve } = yield* transport.listen({
      host: wildcards.has(address.host) ? machine : address.host,
      port: address.port
    })
    const pending = new PendingCallers(numbers.maxPendingHandshakes, numbers.maxPendingPerAddress)
    let calls = 0
    const direct: DirectListener["serve"] = (handler, onRefused) =>
      serve((connection) => {
        const call = calls++
        const reader = memoryDirectHandshake.reader(connection)
        // Known when the caller has said it.
        let remote = { host: connection.remoteAddress, port: 0 }
        let pskIdentity: string | undefined
        const secured = memoryDirectHandshake.asServer(
          reader,
          (named, port) => {
            pskIdentity = named
            remote = { host: connection.remoteAddress, port }
            return pskOf(named, remote)
          },
          memoryDirectHandshake.nonce(`${host}:${port} answers ${call}`)
        )
        return secured.pipe(
          Effect.timeoutOrElse({ duration: numbers.handshakeTimeout, orElse: () => Effect.fail(timedOut) }),
          Effect.ensuring(Effect.sync(() => pending.leave(connection.remoteAddress))),
          Effect.matchEffect({
            onFailure: (error) => Effect.sync(() => onRefused?.({ remote, pskIdentity, error })),
            onSuccess: (pskIdentity) =>
              Effect.flatMap(
                memoryDirectStream.make(connection, reader.rest(), run, { remote, pskIdentity }),
                handler
              )
          })
        )
      }, (address) => pending.enter(address))
    return { host, port, serve: direct }
  })

  return DirectTransport.of({
    connect: Effect.fn("DirectTransport.connect")(connect),
    listen: Effect.fn("DirectTransport.listen")(listen),
    addresses: Effect.succeed([machine])
  })
})

/** The direct transport of one machine in a network. A listener on all addresses listens at the machine's own. */
export const transportOf = (machine: string): Layer.Layer<DirectTransport, never, MemoryNetwork> =>
  Layer.effect(DirectTransport, make(machine))

/** A network and, in it, one machine at 127.0.0.1. */
export const layer: Layer.Layer<DirectTransport | MemoryNetwork> = Layer.provideMerge(
  transportOf(loopback),
  RelayTransportMemory.network()
)
