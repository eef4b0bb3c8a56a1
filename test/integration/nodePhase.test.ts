/** A whole node over real sockets, and what is left of it when it is terminated. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Net from "node:net"
import { describe, expect, it } from "vitest"
import * as CausewayNode from "../../src/layers/CausewayNode.ts"
import * as EntropyLive from "../../src/layers/EntropyLive.ts"
import * as IdentityFresh from "../../src/layers/IdentityFresh.ts"
import * as RelayServerLive from "../../src/layers/RelayServerLive.ts"
import * as RelayTransportNode from "../../src/layers/RelayTransportNode.ts"
import * as ToxCryptoWasm from "../../src/layers/ToxCryptoWasm.ts"
import { Causeway } from "../../src/services/Causeway.ts"
import { ConnectionRegistry } from "../../src/services/ConnectionRegistry.ts"
import { DirectLinks } from "../../src/services/DirectLinks.ts"
import { generateKeyPair } from "../../src/services/Identity.ts"
import { NodePhase, type Phase } from "../../src/services/NodePhase.ts"
import { RelayServer } from "../../src/services/RelayServer.ts"

const platform = Layer.mergeAll(EntropyLive.layer, ToxCryptoWasm.layer, RelayTransportNode.layer)
const startRelay = Effect.gen(function*() {
  const keyPair = yield* generateKeyPair
  const layer = RelayServerLive.layer({ host: "127.0.0.1", port: 0, keyPair })
  return Context.get(yield* Layer.build(Layer.fresh(layer).pipe(Layer.provide(platform))), RelayServer)
}).pipe(Effect.provide(platform))

/** Whether somebody answers at a port of this machine. */
const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = Net.connect({ host: "127.0.0.1", port }, () => {
      socket.destroy()
      resolve(true)
    }).on("error", () => resolve(false))
  })

describe("a node on Node", () => {
  it("M01, M02, M04, M05: goes through its phases, and keeps and makes no connection after its end", async () => {
    const program = Effect.gen(function*() {
      const relay = yield* startRelay
      const node = yield* Layer.build(
        CausewayNode.layer(IdentityFresh.layer, { direct: { host: "127.0.0.1", port: 0 } })
      )
      const { changes, phase, terminate } = Context.get(node, NodePhase)
      const phases: Array<Phase> = []
      yield* Effect.forkScoped(Stream.runForEach(changes, (now) => Effect.sync(() => phases.push(now))))
      yield* Effect.sleep(10)
      yield* Context.get(node, ConnectionRegistry).addRelay(relay.address)
      yield* changes.pipe(Stream.takeUntil((now) => now === "Connected"), Stream.runDrain)
      const [endpoint] = yield* Context.get(node, DirectLinks).endpoints
      const port = endpoint?.port ?? 0
      expect(yield* Effect.promise(() => answers(port))).toBe(true)
      expect((yield* relay.stats).clients).toBe(1)

      yield* terminate
      expect(yield* phase).toBe("Terminated")
      expect(yield* Effect.promise(() => answers(port))).toBe(false)
      yield* Effect.sleep(50)
      expect((yield* relay.stats).clients).toBe(0)
      const peer = yield* generateKeyPair
      const address = { identityKey: peer.publicKey, dhtKey: peer.publicKey, relays: [relay.address] }
      const error = yield* Effect.flip(Context.get(node, Causeway).connect(address))
      expect(error.message).toContain("this node has been terminated")
      yield* Context.get(node, ConnectionRegistry).addRelay({ ...relay.address, host: "localhost" })
      yield* Effect.sleep(500)
      expect((yield* relay.stats).clients).toBe(0)
      expect(phases).toEqual(["Disconnected", "Bootstrapping", "Connected", "Terminated"])
    }).pipe(Effect.provide(platform), Effect.scoped)
    await Effect.runPromise(program)
  })
})
