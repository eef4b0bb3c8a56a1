/** The relay as a layer, on the network inside the process and a clock that the test moves. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as RelayServerLive from "../../src/layers/RelayServerLive.ts"
import * as ToxCryptoNative from "../../src/layers/ToxCryptoNative.ts"
import { answerClientHello } from "../../src/protocol/relay/relayHandshake.ts"
import { Entropy } from "../../src/services/Entropy.ts"
import { RelayServer } from "../../src/services/RelayServer.ts"
import { RelayServerSettings } from "../../src/services/RelayServerSettings.ts"
import { RelayTransport } from "../../src/services/RelayTransport.ts"
import { ToxCrypto } from "../../src/services/ToxCrypto.ts"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"
import { MemoryNetwork } from "../../src/testing/MemoryNetwork.ts"
import * as RelayTransportMemory from "../../src/testing/RelayTransportMemory.ts"
import { keyPairFrom } from "../utils/plainCrypto.ts"
import * as Client from "../utils/RelayTestClient.ts"
import { isCausewayPing, packets } from "../utils/RelayTestSession.ts"

const { settle } = Client
const pingId = [9, 8, 7, 6, 5, 4, 3, 2] as const
const pong = [5, ...pingId]
const defaults = Context.get(Context.empty(), RelayServerSettings)

const relayKeys = keyPairFrom(0x01)
const serverAlone = RelayServerLive.layer({ host: "127.0.0.1", port: 0, keyPair: relayKeys })
const constantEntropy = Entropy.of({
  fill: (target) => void target.fill(0x5a),
  bytes: (size) => new Uint8Array(size).fill(0x5a),
  fraction: () => 0.5
})

const testLayer = (changes: Partial<typeof defaults> = {}) =>
  serverAlone.pipe(
    Layer.provide(Layer.succeed(RelayServerSettings)({ ...defaults, ...changes })),
    Layer.provideMerge(Layer.mergeAll(RelayTransportMemory.layer, ToxCryptoNative.layer, EntropySeeded.layer(3)))
  )
/** The transport of a machine with another address than the relay's. */
const from = (address: string) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(MemoryNetwork, (network) => Effect.provideService(effect, RelayTransport, network.transport(address)))

const stats = Effect.flatMap(RelayServer, (relay) => relay.stats)

describe("RelayServerLive", () => {
  it.effect("C09: confirms a client, marks itself, links two clients and passes their data on", () =>
    Effect.gen(function*() {
      const { address } = yield* RelayServer
      const a = yield* Client.greet(address, settle)
      a.send(packets.ping(...pingId))
      yield* settle
      const [first, second] = a.take()
      assert.isTrue(isCausewayPing(first))
      assert.deepStrictEqual(second, pong)
      const b = yield* Client.login(address, settle)
      const { ab, ba } = yield* Client.link(a, b, settle)
      a.send(packets.data(ab, 1, 2, 3))
      yield* settle
      assert.deepStrictEqual(b.take(), [[ba, 1, 2, 3]])
      assert.deepInclude(yield* stats, {
        accepted: 2,
        refused: 0,
        clients: 2,
        pending: 0,
        forwardedPackets: 1,
        forwardedBytes: 3,
        droppedPackets: 0
      })
    }).pipe(Effect.provide(testLayer())))

  it.effect("D4, C10: a silent socket, and one that stops after 127 bytes, are gone at 10.5 s", () =>
    Effect.gen(function*() {
      const { address } = yield* RelayServer
      const silent = yield* Client.dial(address)
      const short = yield* Client.dial(address)
      short.sendRaw(short.session.hello.subarray(0, 127))
      const unconfirmed = yield* Client.greet(address, settle)
      assert.isTrue(unconfirmed.session.isOpen)
      assert.strictEqual((yield* stats).pending, 3)
      yield* TestClock.adjust("9900 millis")
      for (const client of [silent, short, unconfirmed]) assert.isUndefined(client.ended)
      yield* TestClock.adjust("600 millis")
      for (const client of [silent, short, unconfirmed]) assert.isDefined(client.ended)
      assert.strictEqual((yield* stats).pending, 0)
      assert.deepStrictEqual((yield* stats).closed, { "confirm timeout": 3 })
    }).pipe(Effect.provide(testLayer())))

  it.effect("a hello at 1 byte a second is gone at 10.5 s as well", () =>
    Effect.gen(function*() {
      const { address } = yield* RelayServer
      const slow = yield* Client.dial(address)
      for (let i = 0; i < 10; i++) {
        slow.sendRaw(slow.session.hello.subarray(i, i + 1))
        yield* TestClock.adjust("1 second")
      }
      yield* TestClock.adjust("500 millis")
      assert.isDefined(slow.ended)
    }).pipe(Effect.provide(testLayer())))

  it.effect("a hello split at every byte is accepted", () =>
    Effect.gen(function*() {
      const { address } = yield* RelayServer
      const client = yield* Client.dial(address)
      for (let at = 0; at < 128; at++) {
        client.sendRaw(client.session.hello.subarray(at, at + 1))
        yield* settle
      }
      client.send(packets.ping(...pingId))
      yield* settle
      assert.deepStrictEqual(client.take()[1], pong)
    }).pipe(Effect.provide(testLayer())))

  it.effect("handshake and first frame in one segment are accepted, wherever the segment is cut", () =>
    Effect.gen(function*() {
      const { address } = yield* RelayServer
      const crypto = yield* ToxCrypto
      const frames = 128 + 2 * (9 + 18)
      for (let cut = 1; cut <= frames; cut++) {
        const client = yield* Client.dial(address)
        // The relay's randomness is constant, so its answer, and with it the session, is known before anything is sent.
        const answer = answerClientHello(crypto, relayKeys, client.session.hello, constantEntropy.fill)!
        client.session.accept(answer.reply)
        let skip = 96
        client.accept = (bytes) => {
          const skipped = Math.min(skip, bytes.length)
          skip -= skipped
          client.session.accept(bytes.subarray(skipped))
        }
        const first = client.session.seal(packets.ping(...pingId), packets.ping(...pingId))
        const segment = Uint8Array.from([...client.session.hello, ...first])
        assert.strictEqual(segment.length, frames)
        client.sendRaw(segment.subarray(0, cut))
        yield* settle
        client.sendRaw(segment.subarray(cut))
        yield* settle
        assert.deepStrictEqual(client.take().slice(1), [pong, pong], `cut at ${cut}`)
      }
    }).pipe(Effect.provide(
      serverAlone.pipe(
        Layer.provide(Layer.succeed(Entropy)(constantEntropy)),
        Layer.provideMerge(Layer.mergeAll(RelayTransportMemory.layer, ToxCryptoNative.layer, EntropySeeded.layer(3)))
      )
    )))

  it.effect("garbage behind the hello is judged as a frame, not as more of the hello", () =>
    Effect.gen(function*() {
      const { address } = yield* RelayServer
      const client = yield* Client.dial(address)
      client.sendRaw(Uint8Array.from([...client.session.hello, 0xff, 0xff]))
      yield* settle
      assert.isTrue(client.session.isOpen)
      assert.isDefined(client.ended)
      assert.deepStrictEqual((yield* stats).violations, { "frame length": 1 })
    }).pipe(Effect.provide(testLayer())))

  it.effect("a bad hello closes without a byte, whatever is wrong with it", () =>
    Effect.gen(function*() {
      const { address } = yield* RelayServer
      const zero = new Uint8Array(128).fill(3)
      zero.fill(0, 0, 32)
      for (const hello of [new Uint8Array(128).fill(0xab), zero]) {
        const client = yield* Client.dial(address)
        let heard = 0
        client.onBatch = () => heard++
        client.sendRaw(hello)
        yield* settle
        assert.strictEqual(client.ended?.kind, "Ended")
        assert.strictEqual(heard, 0)
      }
    }).pipe(Effect.provide(testLayer())))

  it.effect("a replayed hello never confirms and leaves the live session untouched", () =>
    Effect.gen(function*() {
      const { address } = yield* RelayServer
      const a = yield* Client.login(address, settle)
      const b = yield* Client.login(address, settle)
      const { ab, ba } = yield* Client.link(a, b, settle)
      const attacker = yield* Client.dial(address)
      attacker.accept = () => {}
      attacker.sendRaw(a.session.hello)
      yield* settle
      assert.isUndefined(attacker.ended)
      yield* TestClock.adjust("10500 millis")
      assert.isDefined(attacker.ended)
      assert.isUndefined(a.ended)
      a.send(packets.data(ab, 7))
      yield* settle
      assert.deepStrictEqual(b.take(), [[ba, 7]])
    }).pipe(Effect.provide(testLayer())))

  it.effect("C11: a second login replaces the first, whose socket is closed and whose peer is told once", () =>
    Effect.gen(function*() {
      const { address } = yield* RelayServer
      const a = yield* Client.login(address, settle)
      const b = yield* Client.login(address, settle)
      const { ba } = yield* Client.link(a, b, settle)
      const again = yield* Client.login(address, settle, a.keys)
      assert.isDefined(a.ended)
      assert.isUndefined(again.ended)
      assert.deepStrictEqual(b.take(), [[3, ba]])
      assert.deepInclude(yield* stats, { clients: 2, closed: { "replaced by a newer login": 1 } })
    }).pipe(Effect.provide(testLayer())))

  it.effect("C10: pings every 30 s, keeps who answers and closes who does not within 10.5 s", () =>
    Effect.gen(function*() {
      const { address } = yield* RelayServer
      const live = yield* Client.login(address, settle)
      const dead = yield* Client.login(address, settle)
      dead.answersPings = false
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual([live.take().length, dead.take().length], [1, 1])
      yield* TestClock.adjust("9500 millis")
      assert.isUndefined(dead.ended)
      yield* TestClock.adjust("1 second")
      assert.isDefined(dead.ended)
      yield* TestClock.adjust("10 minutes")
      assert.isUndefined(live.ended)
      assert.strictEqual(live.take().length, 20)
    }).pipe(Effect.provide(testLayer())))

  it.effect("a client that floods with routing requests is served at 200 a second; others do not notice", () =>
    Effect.gen(function*() {
      const { address } = yield* RelayServer
      const flooder = yield* Client.login(address, settle)
      const a = yield* Client.login(address, settle)
      const b = yield* Client.login(address, settle)
      const { ab } = yield* Client.link(a, b, settle)
      for (let i = 0; i < 4_000; i++) flooder.send(packets.route(flooder.keys.publicKey))
      let answers = 0
      for (let second = 1; second <= 10; second++) {
        yield* TestClock.adjust("1 second")
        answers += flooder.take().length
        assert.isAtMost(answers, 200 + second * 200 + 330)
        assert.isAtLeast(answers, second * 200)
        a.send(packets.data(ab, second))
        yield* settle
        assert.strictEqual(b.take().length, 1)
      }
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(answers + flooder.take().filter((plain) => plain[0] === 1).length, 4_000)
      assert.isUndefined(flooder.ended)
    }).pipe(Effect.provide(testLayer())))

  it.effect("a client that floods with out-of-band packets is served at 100 a second", () =>
    Effect.gen(function*() {
      const { address } = yield* RelayServer
      const flooder = yield* Client.login(address, settle)
      const victim = yield* Client.login(address, settle)
      for (let i = 0; i < 1_000; i++) flooder.send(packets.oob(victim.keys.publicKey, new Uint8Array(100)))
      let got = 0
      for (let second = 1; second <= 5; second++) {
        yield* TestClock.adjust("1 second")
        got += victim.take().length
        assert.isAtMost(got, 100 + second * 100 + 110)
        assert.isAtLeast(got, second * 100)
      }
    }).pipe(Effect.provide(testLayer())))

  it.effect("with a byte limit a client is read at that rate", () =>
    Effect.gen(function*() {
      const { address } = yield* RelayServer
      const a = yield* Client.login(address, settle)
      const b = yield* Client.login(address, settle)
      const { ab } = yield* Client.link(a, b, settle)
      for (let i = 0; i < 300; i++) a.send(packets.ofSize(ab, 1_000))
      yield* TestClock.adjust("4 seconds")
      const got = b.take().length
      assert.isAtLeast(got, 78)
      assert.isAtMost(got, 120)
    }).pipe(Effect.provide(testLayer({ bytesPerSecond: 20_000 }))))

  it.effect("a client that never reads is closed after 5 s, whatever it sends, and costs others nothing", () =>
    Effect.gen(function*() {
      const { address } = yield* RelayServer
      const a = yield* Client.login(address, settle)
      const b = yield* Client.login(address, settle)
      const deaf = yield* Client.login(address, settle)
      const toB = yield* Client.link(a, b, settle)
      const toDeaf = yield* Client.link(a, deaf, settle)
      deaf.reads = false
      for (let i = 0; i < 400; i++) a.send(packets.ofSize(toDeaf.ab, 1_400))
      for (let i = 0; i < 3_000; i++) deaf.send(packets.ping(...pingId))
      yield* TestClock.adjust("4500 millis")
      const { closed, droppedPackets } = yield* stats
      assert.deepStrictEqual(closed, {})
      assert.isAbove(droppedPackets, 100)
      a.send(packets.data(toB.ab, 1))
      yield* settle
      assert.deepStrictEqual(b.take(), [[toB.ba, 1]])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual((yield* stats).closed, { blocked: 1 })
      assert.deepStrictEqual(a.take(), [[3, toDeaf.ab]])
      // Both ends still hold bytes that nobody will take; their scopes wait 2 s for them.
      yield* TestClock.adjust("3 seconds")
    }).pipe(Effect.provide(testLayer())))

  it.effect("10 MB in one burst and then a ping: all of it is consumed, the pong comes", () =>
    Effect.gen(function*() {
      const { address } = yield* RelayServer
      const a = yield* Client.login(address, settle)
      const b = yield* Client.login(address, settle)
      const { ab } = yield* Client.link(a, b, settle)
      for (let i = 0; i < 7_200; i++) a.send(packets.ofSize(ab, 1_400))
      a.send(packets.ping(...pingId))
      for (let i = 0; i < 300 && a.session.received.length === 0; i++) yield* settle
      assert.deepStrictEqual(a.take(), [pong])
      const { droppedPackets, forwardedPackets } = yield* stats
      assert.strictEqual(droppedPackets + forwardedPackets, 7_200)
    }).pipe(Effect.provide(testLayer())))

  it.effect("holds the sixth login of one key within a minute for a second", () =>
    Effect.gen(function*() {
      const { address } = yield* RelayServer
      const { keys } = yield* Client.login(address, settle)
      for (let i = 0; i < 4; i++) yield* Client.login(address, settle, keys)
      const held = yield* Client.greet(address, settle, keys)
      assert.isFalse(held.session.isOpen)
      yield* TestClock.adjust("999 millis")
      assert.isFalse(held.session.isOpen)
      yield* Client.login(address, settle)
      yield* TestClock.adjust("1 millis")
      assert.isTrue(held.session.isOpen)
      yield* TestClock.adjust("1 minute")
      const later = yield* Client.greet(address, settle, keys)
      assert.isTrue(later.session.isOpen)
    }).pipe(Effect.provide(testLayer())))

  it.effect("one address may have 16 connections pending; another gets in, and the first again when they are gone", () =>
    Effect.gen(function*() {
      const { address } = yield* RelayServer
      for (let i = 0; i < 20; i++) {
        yield* Client.dial(address).pipe(from("192.0.2.1"))
        yield* TestClock.adjust("150 millis")
      }
      assert.deepInclude(yield* stats, { accepted: 16, refused: 4, pending: 16 })
      const honest = yield* Client.login(address, settle).pipe(from("192.0.2.2"))
      assert.isUndefined(honest.ended)
      yield* TestClock.adjust("11 seconds")
      assert.strictEqual((yield* stats).pending, 0)
      const again = yield* Client.login(address, settle).pipe(from("192.0.2.1"))
      assert.isTrue(again.session.isOpen)
    }).pipe(Effect.provide(testLayer())))

  it.effect("confirmed clients do not count as pending: one address may have any number of them", () =>
    Effect.gen(function*() {
      const { address } = yield* RelayServer
      for (let i = 0; i < 40; i++) {
        const client = yield* Client.login(address, settle).pipe(from("192.0.2.1"))
        assert.isTrue(client.session.isOpen, `client ${i}`)
        yield* TestClock.adjust("150 millis")
      }
      assert.deepInclude(yield* stats, { clients: 40, refused: 0, pending: 0 })
    }).pipe(Effect.provide(testLayer())))

  it.effect("G1: wipes the keys of a connection when it ends, however it ends, and all of them when the relay stops", () =>
    Effect.gen(function*() {
      const crypto = yield* ToxCrypto
      const live = new Set<object>()
      const watched = ToxCrypto.of({
        ...crypto,
        box: (theirs, ours) => {
          const cipher = crypto.box(theirs, ours)
          if (cipher === undefined) return undefined
          live.add(cipher)
          return { ...cipher, dispose: () => (live.delete(cipher), cipher.dispose()) }
        }
      })
      const scope = yield* Scope.make()
      const relay = Layer.provide(serverAlone, Layer.succeed(ToxCrypto)(watched))
      const { address } = Context.get(yield* Layer.buildWithScope(relay, scope), RelayServer)
      const network = yield* MemoryNetwork
      const first = yield* Client.login(address, settle)
      yield* Client.login(address, settle)
      yield* Client.greet(address, settle)
      assert.strictEqual(live.size, 3)
      first.send(packets.ofSize(12, 1))
      yield* settle
      assert.strictEqual(live.size, 2)
      network.connections().at(-1)!.reset()
      yield* settle
      assert.strictEqual(live.size, 1)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(live.size, 0)
    }).pipe(Effect.provide(Layer.mergeAll(RelayTransportMemory.layer, ToxCryptoNative.layer, EntropySeeded.layer(3)))))

  it.effect("loopback may have any number, unless it is limited", () =>
    Effect.gen(function*() {
      const { address } = yield* RelayServer
      for (let i = 0; i < 50; i++) yield* Client.dial(address)
      yield* settle
      assert.deepInclude(yield* stats, { accepted: 50, refused: 0 })
    }).pipe(
      Effect.provide(testLayer()),
      Effect.andThen(
        Effect.gen(function*() {
          const { address } = yield* RelayServer
          for (let i = 0; i < 50; i++) yield* Client.dial(address)
          yield* settle
          assert.deepInclude(yield* stats, { accepted: 10, refused: 40 })
        }).pipe(Effect.provide(testLayer({ limitLoopback: true })))
      )
    ))

  it.effect("handshakes beyond 1,000 a second wait for their turn", () =>
    Effect.gen(function*() {
      const { address } = yield* RelayServer
      const clients: Array<Client.RelayTestClient> = []
      for (let i = 0; i < 40; i++) clients.push(yield* Client.greet(address, Effect.void).pipe(from(`192.0.2.${i}`)))
      yield* settle
      const answered = () => clients.filter((client) => client.session.isOpen).length
      assert.strictEqual(answered(), 20)
      yield* TestClock.adjust("500 millis")
      yield* settle
      assert.strictEqual(answered(), 30)
      yield* TestClock.adjust("500 millis")
      yield* settle
      assert.strictEqual(answered(), 40)
    }).pipe(Effect.provide(testLayer({ handshakesPerSecond: 20 }))))

  it.effect("closing the scope ends every connection within 2 s, also of those that never read", () =>
    Effect.gen(function*() {
      const network = yield* MemoryNetwork
      const scope = yield* Scope.make()
      const { address } = Context.get(yield* Layer.buildWithScope(Layer.fresh(serverAlone), scope), RelayServer)
      const a = yield* Client.login(address, settle)
      const deaf = yield* Client.login(address, settle)
      const { ab } = yield* Client.link(a, deaf, settle)
      deaf.reads = false
      for (let i = 0; i < 300; i++) a.send(packets.ofSize(ab, 1_400))
      yield* settle
      const before = yield* Clock.monotonicTimeNanos
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* settle
      assert.isDefined(a.ended)
      yield* TestClock.adjust("2 seconds")
      assert.isDefined(closing.pollUnsafe())
      assert.strictEqual((yield* Clock.monotonicTimeNanos) - before, 2_000_000_000n)
      const refused = yield* Effect.flip(Client.dial(address))
      assert.strictEqual(refused.kind, "Refused")
      deaf.reads = true
      yield* TestClock.adjust("1 second")
      assert.strictEqual(network.connections().filter(({ client }) => client !== "127.0.0.1").length, 0)
    }).pipe(Effect.provide(Layer.mergeAll(RelayTransportMemory.layer, ToxCryptoNative.layer, EntropySeeded.layer(3)))))

  it.effect("a port in use fails the layer", () =>
    Effect.gen(function*() {
      const { address } = yield* RelayServer
      const second = RelayServerLive.layer({ ...address, keyPair: keyPairFrom(0x31) })
      const error = yield* Effect.flip(Effect.scoped(Layer.build(second)))
      assert.deepStrictEqual([error._tag, "kind" in error && error.kind], ["TransportError", "InUse"])
    }).pipe(Effect.provide(testLayer())))
})
