/** Whole nodes with a phase, over a transport that counts what goes out of them. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as CausewayLive from "../../src/layers/CausewayLive.ts"
import * as ConnectionRegistryLive from "../../src/layers/ConnectionRegistryLive.ts"
import * as NetCryptoBridgeLive from "../../src/layers/NetCryptoBridgeLive.ts"
import * as NetCryptoLive from "../../src/layers/NetCryptoLive.ts"
import * as NodePhaseLive from "../../src/layers/NodePhaseLive.ts"
import * as RelayClientLive from "../../src/layers/RelayClientLive.ts"
import type { RelayAddress } from "../../src/schema/RelayAddress.ts"
import { Causeway } from "../../src/services/Causeway.ts"
import { ConnectionRegistry } from "../../src/services/ConnectionRegistry.ts"
import { Identity } from "../../src/services/Identity.ts"
import { NodePhase } from "../../src/services/NodePhase.ts"
import { NodeSettings } from "../../src/services/NodeSettings.ts"
import { RelayTransport } from "../../src/services/RelayTransport.ts"
import { ToxCrypto } from "../../src/services/ToxCrypto.ts"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"
import { keyPairFrom, plainCrypto } from "./plainCrypto.ts"

/** What has gone out of a node, and what it holds open. Bytes count when they are written to a connection that is open. */
export interface Outgoing {
  dials: number
  bytes: number
  listens: number
  admitted: number
  open: number
}

/** Below the node's gate, so that what the gate lets through is seen. */
export const watched = (inner: RelayTransport["Service"]) => {
  const out: Outgoing = { dials: 0, bytes: 0, listens: 0, admitted: 0, open: 0 }
  const held = Effect.acquireRelease(
    Effect.sync(() => {
      const own = { isOpen: true }
      out.open++
      return own
    }),
    (own) =>
      Effect.sync(() => {
        own.isOpen = false
        out.open--
      })
  )
  const transport = RelayTransport.of({
    connect: (address) =>
      Effect.suspend(() => {
        out.dials++
        // The finalizer below runs before the connection's own, which is what sends the last bytes.
        return Effect.gen(function*() {
          const connection = yield* inner.connect(address)
          const own = yield* held
          return {
            ...connection,
            write: (bytes: Uint8Array) => {
              if (own.isOpen) out.bytes += bytes.length
              return connection.write(bytes)
            }
          }
        })
      }),
    listen: (address) =>
      Effect.suspend(() => {
        out.listens++
        return Effect.map(inner.listen(address), (listener) => ({
          ...listener,
          serve: (handler, admit) =>
            listener.serve(handler, (remote) => {
              const isAdmitted = admit(remote)
              if (isAdmitted) out.admitted++
              return isAdmitted
            })
        }))
      })
  })
  return { transport, out }
}

/** Node `n` (1..9) always has the same keys. Its layers stay until the test's scope or `close` ends them. */
export const phaseNode = Effect.fnUntraced(
  function*(inner: RelayTransport["Service"], n: number, goodbyeTimeout = 3_000) {
    const keys = { identity: keyPairFrom(0x81 + 0x10 * n), dht: keyPairFrom(0x88 + 0x10 * n) }
    const { out, transport } = watched(inner)
    const scope = yield* Scope.fork(yield* Effect.scope)
    const node = CausewayLive.layer.pipe(
      Layer.provideMerge(NetCryptoLive.layer),
      Layer.provideMerge(NetCryptoBridgeLive.layer),
      Layer.provideMerge(ConnectionRegistryLive.layer),
      Layer.provideMerge(RelayClientLive.layer)
    )
    const context = yield* NodePhaseLive.layer(node).pipe(
      Layer.provideMerge(Layer.succeed(Identity, keys)),
      Layer.provideMerge(Layer.mergeAll(
        Layer.succeed(RelayTransport, transport),
        Layer.succeed(ToxCrypto, plainCrypto),
        Layer.succeed(NodeSettings, { role: "full", goodbyeTimeout }),
        EntropySeeded.layer(100 + n)
      )),
      (layer) => Layer.buildWithMemoMap(layer, Layer.makeMemoMapUnsafe(), scope)
    )
    const causeway = Context.get(context, Causeway)
    yield* Effect.orDie(causeway.setAcceptPolicy(() => true))
    return {
      causeway,
      registry: Context.get(context, ConnectionRegistry),
      node: Context.get(context, NodePhase),
      /** As the node gives it on: through its gate. */
      transport: Context.get(context, RelayTransport),
      address: (relays: ReadonlyArray<RelayAddress>) => ({
        identityKey: keys.identity.publicKey,
        dhtKey: keys.dht.publicKey,
        relays
      }),
      out,
      close: Scope.close(scope, Exit.void)
    }
  }
)

export type PhaseNode = Effect.Success<ReturnType<typeof phaseNode>>
