import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import type { PublicKey } from "../../src/schema/Bytes.ts"
import { hex, unhex, watchedCrypto } from "../utils/plainCrypto.ts"
import { address, bytes, key, keys, provide, provideWith, settle, start } from "../utils/relayClientHarness.ts"
import { ScriptedRelays } from "../utils/ScriptedRelays.ts"

describe("RelayClient.run", () => {
  it.effect("T34: one connection per relay, told by stages and confirmed by the pong to the first frame", () =>
    Effect.gen(function*() {
      const { end, links, log, relay, script, states } = yield* start()
      assert.deepStrictEqual(states, ["Connecting", "Handshaking", "Confirmed"])
      assert.deepStrictEqual(log, ["confirmed"])
      assert.strictEqual(relay.packets[0]![0], 4)
      assert.strictEqual(hex(relay.answered!.clientKey), hex(keys.publicKey))
      assert.strictEqual(script.dials.length, 1)
      const other = yield* start({ ...address, host: "other.test" })
      assert.deepStrictEqual(script.dials, ["relay.test", "other.test"])
      assert.notStrictEqual(other.links[0], links[0])
      assert.deepStrictEqual(other.links[0]!.relay.host, "other.test")
      assert.isUndefined(end())
    }).pipe(provide))

  it.effect("C09: carries routing, notifications, data, OOB, onion and forwarded packets", () =>
    Effect.gen(function*() {
      const { links, log, relay } = yield* start()
      const link = links[0]!
      link.requestRoute(key(9))
      yield* settle
      relay.send(bytes(1, 16, key(9)), bytes(2, 16), bytes(16, 1, 2), bytes(7, key(3), 4), bytes(9, 5), bytes(11, 6))
      yield* settle
      assert.isTrue(link.sendData(16, bytes(0, 0xab), 2, false))
      assert.isTrue(link.sendOob(key(4), bytes(0xcd)))
      yield* settle
      relay.send(bytes(3, 16))
      yield* settle
      assert.deepStrictEqual(log, [
        "confirmed",
        "response 16 9",
        "online 16",
        "data 16 0102",
        "oob 3 04",
        "onion 05",
        "forwarded 06",
        "offline 16"
      ])
      const sent = relay.packets.filter((packet) => packet[0] !== 4).map(hex)
      assert.deepStrictEqual(sent, [`00${hex(key(9))}`, "10ab", `06${hex(key(4))}cd`])
    }).pipe(provide))

  it.effect("a dial that is refused fails at once, with the address and the reason", () =>
    Effect.gen(function*() {
      const script = yield* ScriptedRelays
      script.onDial = () => "refuse"
      const { fiber, log, states } = yield* start()
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error.reason._tag, "RelayDialFailed")
      assert.strictEqual(error.relay, "relay.test:33445")
      assert.isFalse(error.wasConfirmed)
      assert.include(error.message, "ECONNREFUSED")
      assert.deepStrictEqual([states, log], [["Connecting"], []])
    }).pipe(provide))

  it.effect("C10: a dial that hangs ends after 10 s", () =>
    Effect.gen(function*() {
      const script = yield* ScriptedRelays
      script.onDial = () => "hang"
      const { end, reason } = yield* start()
      yield* TestClock.adjust(9_999)
      assert.isUndefined(end())
      yield* TestClock.adjust(1)
      assert.deepInclude(yield* reason, { _tag: "RelayTimedOut", stage: "Dial" })
    }).pipe(provide))

  it.effect("C10: a relay that does not answer the hello is given up after 10 s and closed", () =>
    Effect.gen(function*() {
      const script = yield* ScriptedRelays
      script.onAccept = (relay) => (relay.answersHello = false)
      const { end, reason, relay, states } = yield* start()
      assert.strictEqual(relay.hello.length, 128)
      yield* TestClock.adjust(9_999)
      assert.isUndefined(end())
      yield* TestClock.adjust(1)
      assert.deepInclude(yield* reason, { _tag: "RelayTimedOut", stage: "Handshake" })
      assert.isTrue(relay.closed)
      assert.deepStrictEqual(states, ["Connecting", "Handshaking"])
    }).pipe(provide))

  it.effect("C10: a relay that does not answer the first ping is given up after 10 s, without a loss to report", () =>
    Effect.gen(function*() {
      const script = yield* ScriptedRelays
      script.onAccept = (relay) => (relay.answersPings = false)
      const { fiber, log, relay } = yield* start()
      relay.send(bytes(5, unhex("0102030405060708")))
      yield* TestClock.adjust(10_000)
      const error = yield* Fiber.join(fiber)
      assert.deepInclude(error.reason, { _tag: "RelayTimedOut", stage: "Confirm" })
      assert.isFalse(error.wasConfirmed)
      assert.deepStrictEqual(log, [])
    }).pipe(provide))

  for (const kind of ["Ended", "Reset"] as const) {
    it.effect(`a relay that closes during the handshake failed it (${kind})`, () =>
      Effect.gen(function*() {
        const script = yield* ScriptedRelays
        script.onAccept = (relay) => (relay.answersHello = false)
        const { reason, relay } = yield* start()
        relay.sendRaw(new Uint8Array(20))
        relay.end(kind)
        assert.deepInclude(yield* reason, { _tag: "RelayHandshakeFailed", detail: "closed during the handshake" })
        assert.isTrue(relay.closed)
      }).pipe(provide))

    it.effect(`the loss of a confirmed connection is reported at once (${kind})`, () =>
      Effect.gen(function*() {
        const { fiber, log, relay } = yield* start()
        relay.end(kind)
        yield* settle
        assert.deepStrictEqual(log, ["confirmed", "lost"])
        const error = yield* Fiber.join(fiber)
        assert.strictEqual(error.reason._tag, "RelayClosed")
        assert.isTrue(error.wasConfirmed)
        assert.isTrue(relay.closed)
      }).pipe(provide))
  }

  it.effect("a relay that closes between its hello and the first pong failed the handshake", () =>
    Effect.gen(function*() {
      const script = yield* ScriptedRelays
      script.onAccept = (relay) => (relay.answersPings = false)
      const { reason, relay } = yield* start()
      relay.end("Ended")
      assert.deepInclude(yield* reason, { _tag: "RelayHandshakeFailed", detail: "closed before it confirmed" })
    }).pipe(provide))

  it.effect("relay handshake, client side: a wrong, a replayed and a hostile answer are typed failures", () =>
    Effect.gen(function*() {
      const script = yield* ScriptedRelays
      script.onAccept = (relay) => (relay.answersHello = false)
      const first = yield* start()
      const replayed = first.relay.answer()
      first.relay.sendRaw(new Uint8Array(96))
      assert.deepInclude(yield* first.reason, { _tag: "RelayHandshakeFailed", detail: "its answer does not open" })
      // The answer to an earlier hello opens, because its seal is under the static keys, but the session keys differ.
      const second = yield* start()
      script.relays[1]!.sendRaw(replayed)
      yield* settle
      script.relays[1]!.sendRaw(first.relay.seal(bytes(5, unhex("0102030405060708"))))
      assert.strictEqual((yield* second.reason)._tag, "RelayProtocolViolation")
      assert.deepStrictEqual([first.log, second.log], [[], []])
    }).pipe(provide))

  it.effect("relay handshake, client side: our own key and a useless key fail before a byte is sent", () =>
    Effect.gen(function*() {
      for (const publicKey of [keys.publicKey, new Uint8Array(32) as PublicKey]) {
        const { reason, script } = yield* start({ ...address, publicKey })
        assert.strictEqual((yield* reason)._tag, "RelayHandshakeFailed")
        assert.strictEqual(script.relays.at(-1)!.hello.length, 0)
      }
    }).pipe(provide))

  it.effect("relay handshake, client side: an answer in pieces, with the first frames behind it", () =>
    Effect.gen(function*() {
      const script = yield* ScriptedRelays
      script.onAccept = (relay) => {
        relay.answersHello = false
        relay.answersPings = false
      }
      const { log, relay } = yield* start()
      const answer = relay.answer()
      const frame = relay.seal(bytes(4, unhex("4357590100000001")))
      for (let at = 0; at < 95; at++) {
        relay.sendRaw(answer.slice(at, at + 1))
        if (at % 10 === 0) yield* settle
      }
      relay.sendRaw(bytes(answer.subarray(95), frame.subarray(0, 5)))
      yield* settle
      relay.sendRaw(frame.slice(5))
      relay.send(bytes(5, relay.packets[0]!.subarray(1)))
      yield* settle
      assert.deepStrictEqual(log, ["confirmed"])
      assert.strictEqual(hex(relay.packets[1]!), "054357590100000001")
    }).pipe(provide))

  it.effect("F1: a Causeway relay is recognised by its ping", () =>
    Effect.gen(function*() {
      const { links, relay } = yield* start()
      assert.isFalse(links[0]!.isCauseway)
      relay.send(bytes(4, unhex("43575901aabbccdd")))
      yield* settle
      assert.isTrue(links[0]!.isCauseway)
      assert.strictEqual(hex(relay.packets[1]!), "0543575901aabbccdd")
    }).pipe(provide))

  it.effect("a violation ends the connection with what was wrong; earlier packets of the chunk were taken", () =>
    Effect.gen(function*() {
      const { fiber, log, relay } = yield* start()
      relay.send(bytes(7, key(3), 1), bytes(12, 0), bytes(7, key(3), 2))
      const error = yield* Fiber.join(fiber)
      assert.isTrue(error.isViolation)
      assert.isTrue(error.wasConfirmed)
      assert.include(error.message, "unknown packet id 12")
      assert.deepStrictEqual(log, ["confirmed", "oob 3 01", "lost"])
      assert.isTrue(relay.closed)
    }).pipe(provide))

  it.effect("a damaged frame ends the connection", () =>
    Effect.gen(function*() {
      const { reason, relay } = yield* start()
      const frame = relay.seal(bytes(7, key(3), 1))
      frame[10]! ^= 1
      relay.sendRaw(frame)
      assert.deepInclude(yield* reason, {
        _tag: "RelayProtocolViolation",
        detail: "a frame that does not authenticate"
      })
    }).pipe(provide))

  it.effect("interrupting the fiber closes the connection, wipes the session and reports the loss once", () =>
    Effect.gen(function*() {
      const { fiber, links, log, relay } = yield* start()
      yield* Fiber.interrupt(fiber)
      assert.isTrue(relay.closed)
      assert.deepStrictEqual(log, ["confirmed", "lost"])
      assert.isFalse(links[0]!.sendOob(key(3), bytes(1)))
      links[0]!.requestRoute(key(3))
      yield* settle
      assert.deepStrictEqual(relay.packets.filter((packet) => packet[0] !== 4), [])
    }).pipe(provide))

  it.effect("G1: no cipher is left when a session ends, at whatever stage", () => {
    const { crypto, open } = watchedCrypto()
    return Effect.gen(function*() {
      const script = yield* ScriptedRelays
      const whole = yield* start()
      assert.strictEqual(open.size, 1)
      whole.relay.end("Reset")
      yield* whole.reason
      assert.strictEqual(open.size, 0)
      script.onAccept = (relay) => (relay.answersHello = false)
      const silent = yield* start()
      assert.strictEqual(open.size, 1)
      yield* TestClock.adjust(10_000)
      assert.deepInclude(yield* silent.reason, { _tag: "RelayTimedOut", stage: "Handshake" })
      const interrupted = yield* start()
      yield* Fiber.interrupt(interrupted.fiber)
      const wrong = yield* start()
      script.relays.at(-1)!.sendRaw(new Uint8Array(96))
      yield* wrong.reason
      assert.strictEqual(open.size, 0)
    }).pipe(provideWith(crypto))
  })

  it.effect("packets sent outside a read leave together in the next microtask", () =>
    Effect.gen(function*() {
      const { links, relay } = yield* start()
      links[0]!.sendOob(key(3), bytes(1))
      links[0]!.sendOob(key(3), bytes(2))
      assert.strictEqual(relay.packets.length, 1)
      yield* Effect.promise(() => Promise.resolve())
      assert.deepStrictEqual(relay.packets.map((packet) => packet[0]), [4, 6, 6, 4])
    }).pipe(provide))
})
