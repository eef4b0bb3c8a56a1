/** That nothing secret of net_crypto gets out, and that what is no longer needed is wiped (reliability, G1 and G2). */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as NetCryptoLive from "../../src/layers/NetCryptoLive.ts"
import type { Crypto, SecretKey } from "../../src/protocol/crypto/Crypto.ts"
import { Entropy } from "../../src/services/Entropy.ts"
import { Identity } from "../../src/services/Identity.ts"
import { NetCrypto } from "../../src/services/NetCrypto.ts"
import { NetCryptoBridge } from "../../src/services/NetCryptoBridge.ts"
import { ToxCrypto } from "../../src/services/ToxCrypto.ts"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"
import { collect, forkNow, node, numbered, within } from "../utils/cryptoNode.ts"
import * as FakeWire from "../utils/FakeWire.ts"
import { keyPairFrom, plainCrypto } from "../utils/plainCrypto.ts"

/** The cryptography, which tells what lives and remembers every secret key it has seen. */
const watched = () => {
  const live = { ciphers: 0, made: 0 }
  const secrets = new Map<Uint8Array, string>()
  const note = (key: SecretKey): void => {
    const bytes = Redacted.value(key)
    if (!secrets.has(bytes)) secrets.set(bytes, Buffer.from(bytes).toString("hex"))
  }
  const count = <A extends ReturnType<Crypto["secretBox"]> | undefined>(cipher: A): A => {
    if (cipher === undefined) return cipher
    live.ciphers++
    live.made++
    let isLive = true
    const dispose = (): void => {
      if (isLive) live.ciphers--
      isLive = false
      cipher.dispose()
    }
    return { ...cipher, dispose }
  }
  const crypto: Crypto = {
    ...plainCrypto,
    publicKey: (key) => (note(key), plainCrypto.publicKey(key)),
    box: (theirs, ours) => (note(ours), count(plainCrypto.box(theirs, ours))),
    secretBox: (key) => (note(key), count(plainCrypto.secretBox(key)))
  }
  return { crypto, live, secrets }
}

describe("NetCryptoLive and its secrets", () => {
  it.effect("G1: every cipher is disposed and every ephemeral key zeroed when the layer closes", () =>
    Effect.gen(function*() {
      const wire = yield* FakeWire.make()
      const keys = { identity: keyPairFrom(1), dht: keyPairFrom(65) }
      const { crypto, live, secrets } = watched()
      const scope = yield* Scope.make()
      const context = yield* NetCryptoLive.layer.pipe(
        Layer.provide(Layer.succeed(Identity, keys)),
        Layer.provide(Layer.succeed(Entropy, EntropySeeded.make(8))),
        Layer.provide(Layer.succeed(ToxCrypto, crypto)),
        Layer.provide(Layer.succeed(NetCryptoBridge, wire.attach(keys.dht.publicKey).bridge)),
        Layer.buildWithScope(scope)
      )
      const netCrypto = Context.get(context, NetCrypto)
      yield* netCrypto.setAcceptPolicy(() => true)
      const b = yield* node(wire, 33, 97)
      const connection = yield* within(yield* forkNow(netCrypto.connect(b.address)), 500)
      yield* TestClock.adjust(100)
      // Its peer starts again, so that a session is replaced as well.
      yield* b.crash
      const again = yield* node(wire, 33, 97, { seed: 2 })
      yield* within(yield* forkNow(again.netCrypto.accept), 3_000)
      // And somebody who never answers.
      yield* forkNow(
        netCrypto.connect({ ...b.address, identityKey: keyPairFrom(9).publicKey, dhtKey: keyPairFrom(7).publicKey })
      )
      yield* TestClock.adjust(500)
      assert.strictEqual((yield* connection.closed).reason._tag, "PeerRestarted")
      assert.isAbove(live.ciphers, 2)
      yield* Scope.close(scope, yield* Effect.exit(Effect.void))
      assert.strictEqual(live.ciphers, 0, `of ${live.made}`)
      const mine = new Set([keys.identity.secretKey, keys.dht.secretKey].map((key) => Redacted.value(key)))
      const ephemeral = [...secrets.keys()].filter((bytes) => !mine.has(bytes))
      assert.isAtLeast(ephemeral.length, 3)
      for (const bytes of ephemeral) assert.deepStrictEqual(bytes, new Uint8Array(32))
    }))

  it.effect("G1: closing a connection wipes its key at once", () =>
    Effect.gen(function*() {
      const wire = yield* FakeWire.make()
      const keys = { identity: keyPairFrom(1), dht: keyPairFrom(65) }
      const { crypto, live } = watched()
      const context = yield* NetCryptoLive.layer.pipe(
        Layer.provide(Layer.succeed(Identity, keys)),
        Layer.provide(Layer.succeed(Entropy, EntropySeeded.make(8))),
        Layer.provide(Layer.succeed(ToxCrypto, crypto)),
        Layer.provide(Layer.succeed(NetCryptoBridge, wire.attach(keys.dht.publicKey).bridge)),
        Layer.build
      )
      const b = yield* node(wire, 33, 97)
      const before = live.ciphers
      const netCrypto = Context.get(context, NetCrypto)
      for (let i = 0; i < 3; i++) {
        const connection = yield* within(yield* forkNow(netCrypto.connect(b.address)), 500)
        assert.isAbove(live.ciphers, before)
        yield* connection.close
        assert.strictEqual(live.ciphers, before)
        yield* TestClock.adjust(100)
      }
    }))

  it.effect("G2: errors, statistics, channels and logs hold no secret key and no payload", () => {
    const logged: Array<string> = []
    const logger = Logger.make(({ message }) => void logged.push(Inspectable.toStringUnknown(message)))
    return Effect.gen(function*() {
      const wire = yield* FakeWire.make()
      const a = yield* node(wire, 1, 65)
      const b = yield* node(wire, 33, 97)
      const accepting = yield* forkNow(b.netCrypto.accept)
      const from = collect(yield* within(yield* forkNow(a.netCrypto.connect(b.address)), 500))
      const to = collect(yield* within(accepting, 500))
      const payload = new TextEncoder().encode("\xa0a very private remark")
      payload[0] = 160
      from.connection.trySend(payload)
      from.connection.trySend(numbered(1))
      yield* TestClock.adjust(50)
      yield* b.stop
      yield* TestClock.adjust(50)
      const unreachable = yield* within(yield* forkNow(Effect.flip(a.netCrypto.connect(b.address))), 9_000)
      yield* Effect.logInfo("the end", unreachable, from.errors, from.connection)
      const texts = [unreachable, ...from.errors, ...to.errors, from.connection, from.connection.stats()].flatMap((
        value
      ) => [
        String(value),
        JSON.stringify(value),
        Inspectable.toStringUnknown(value),
        Inspectable.toStringUnknown({ value })
      ])
      const text = [...texts, ...logged].join("\n").toLowerCase()
      assert.isAbove(text.length, 500)
      for (const { keys } of [a, b]) {
        for (const { secretKey } of [keys.identity, keys.dht]) {
          const bytes = Buffer.from(Redacted.value(secretKey))
          for (const form of [bytes.toString("hex"), bytes.toString("base64").toLowerCase(), [...bytes].join(",")]) {
            assert.isFalse(text.includes(form))
          }
        }
      }
      for (const form of ["private remark", Buffer.from(payload).toString("hex"), [...payload].join(",")]) {
        assert.isFalse(text.includes(form))
      }
    }).pipe(Effect.provide(Logger.layer([logger])))
  })
})
