import { describe, expect, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import sodium from "libsodium-wrappers"
import * as ToxCryptoWasm from "../../src/layers/ToxCryptoWasm.ts"
import { ToxCrypto } from "../../src/services/ToxCrypto.ts"

interface Heap {
  readonly HEAPU8: Uint8Array
  readonly _malloc: (size: number) => number
  readonly _free: (pointer: number) => void
}
const heap = (): Heap => (sodium as unknown as { readonly libsodium: Heap }).libsodium

const unhex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "hex"))
const inHeap = (bytes: Uint8Array): boolean => Buffer.from(heap().HEAPU8.buffer).includes(Buffer.from(bytes))
const nonce = new Uint8Array(24).fill(0x5a)
/** Bytes that no other test leaves in the heap. */
const marked = (mark: number): Uint8Array => Uint8Array.from({ length: 32 }, (_, i) => (mark * 31 + i * 57 + 11) & 0xff)

const build = Effect.gen(function*() {
  const scope = yield* Scope.make()
  const context = yield* Layer.buildWithScope(Layer.fresh(ToxCryptoWasm.layer), scope)
  return { crypto: yield* Effect.provide(ToxCrypto, context), close: Scope.close(scope, Exit.void) }
})

describe("ToxCryptoWasm memory", () => {
  it.effect("G1: the key of a cipher is in the heap until dispose, and nowhere after it", () =>
    Effect.gen(function*() {
      const { crypto, close } = yield* build
      const cipher = crypto.secretBox(Redacted.make(marked(1)))
      expect(inHeap(marked(1))).toBe(true)
      cipher.dispose()
      expect(inHeap(marked(1))).toBe(false)
      yield* close
    }))

  it.effect("G1: closing the layer wipes the keys that were not disposed of", () =>
    Effect.gen(function*() {
      const { crypto, close } = yield* build
      crypto.secretBox(Redacted.make(marked(2)))
      expect(inHeap(marked(2))).toBe(true)
      yield* close
      expect(inHeap(marked(2))).toBe(false)
    }))

  it.effect("G1: box and publicKey leave no secret key and no unhashed shared secret in the heap", () =>
    Effect.gen(function*() {
      const { crypto, close } = yield* build
      const secret = Redacted.make(Uint8Array.from({ length: 32 }, (_, i) => 0x41 + i))
      const theirs = crypto.publicKey(Redacted.make(Uint8Array.from({ length: 32 }, (_, i) => 0x61 + i)))
      crypto.publicKey(secret)
      expect(inHeap(Redacted.value(secret))).toBe(false)
      const cipher = crypto.box(theirs, secret)!
      expect(inHeap(Redacted.value(secret))).toBe(false)
      const sessionKey = unhex("fad97f4c552999bded1d5887896dc849ad1ba9485b616188a9df62dce12b4603")
      expect(inHeap(sessionKey)).toBe(true)
      cipher.dispose()
      expect(inHeap(sessionKey)).toBe(false)
      yield* close
    }))

  it.effect("G1: sharedSecret leaves neither the secret key nor the result in the heap", () =>
    Effect.gen(function*() {
      const { crypto, close } = yield* build
      const secret = Redacted.make(marked(6))
      const shared = crypto.sharedSecret(crypto.publicKey(Redacted.make(marked(7))), secret)!
      expect(inHeap(marked(6))).toBe(false)
      expect(inHeap(shared)).toBe(false)
      expect(crypto.sharedSecret(new Uint8Array(32), secret)).toBeUndefined()
      expect(inHeap(marked(6))).toBe(false)
      yield* close
    }))

  it.effect("G1: plaintext in the scratch area is wiped when the layer closes and when the area grows", () =>
    Effect.gen(function*() {
      const { crypto, close } = yield* build
      const cipher = crypto.secretBox(Redacted.make(marked(3)))
      const open = (plain: Uint8Array): void => {
        const sealed = new Uint8Array(plain.length + 16)
        cipher.seal(sealed, 0, plain, 0, plain.length, nonce)
        expect(cipher.open(plain, 0, sealed, 0, sealed.length, nonce)).toBe(true)
      }
      open(marked(4))
      expect(inHeap(marked(4))).toBe(true)
      crypto.sha512(new Uint8Array(20_000))
      expect(inHeap(marked(4))).toBe(false)
      open(marked(5))
      expect(inHeap(marked(5))).toBe(true)
      yield* close
      expect(inHeap(marked(5))).toBe(false)
    }))

  it.effect("ciphers keep working when the heap grows and its views are replaced", () =>
    Effect.gen(function*() {
      const { crypto, close } = yield* build
      const cipher = crypto.secretBox(Redacted.make(marked(6)))
      const before = heap().HEAPU8
      const sealed = new Uint8Array(18)
      cipher.seal(sealed, 0, Uint8Array.of(1, 2), 0, 2, nonce)
      const large = heap()._malloc(before.length)
      expect(large).not.toBe(0)
      heap()._free(large)
      expect(heap().HEAPU8).not.toBe(before)
      expect(before.length).toBe(0)
      const again = new Uint8Array(18)
      cipher.seal(again, 0, Uint8Array.of(1, 2), 0, 2, nonce)
      expect(again).toEqual(sealed)
      const plain = new Uint8Array(2)
      expect(cipher.open(plain, 0, sealed, 0, 18, nonce)).toBe(true)
      expect(plain).toEqual(Uint8Array.of(1, 2))
      cipher.dispose()
      expect(inHeap(marked(6))).toBe(false)
      yield* close
    }))

  it.effect("disposed keys are freed: a hundred thousand ciphers need no more heap than one", () =>
    Effect.gen(function*() {
      const { crypto, close } = yield* build
      crypto.secretBox(Redacted.make(marked(7))).dispose()
      const size = heap().HEAPU8.length
      for (let i = 0; i < 100_000; i++) crypto.secretBox(Redacted.make(marked(7))).dispose()
      expect(heap().HEAPU8.length).toBe(size)
      yield* close
    }))

  it.effect("a public key that gives no cipher leaves no memory behind", () =>
    Effect.gen(function*() {
      const { crypto, close } = yield* build
      const malloc = vi.spyOn(heap(), "_malloc")
      const free = vi.spyOn(heap(), "_free")
      expect(crypto.box(new Uint8Array(32), Redacted.make(marked(7)))).toBeUndefined()
      expect(malloc).toHaveBeenCalledTimes(1)
      expect(free.mock.calls).toEqual([[malloc.mock.results[0]!.value]])
      vi.restoreAllMocks()
      yield* close
    }))

  it.effect("two layers in one process do not share keys or the scratch area", () =>
    Effect.gen(function*() {
      const one = yield* build
      const two = yield* build
      const cipher = two.crypto.secretBox(Redacted.make(marked(8)))
      yield* one.close
      const sealed = new Uint8Array(17)
      cipher.seal(sealed, 0, Uint8Array.of(9), 0, 1, nonce)
      expect(cipher.open(new Uint8Array(1), 0, sealed, 0, 17, nonce)).toBe(true)
      yield* two.close
    }))

  it.effect("a closed layer refuses to work on memory it has given back", () =>
    Effect.gen(function*() {
      const { crypto, close } = yield* build
      yield* close
      const key = Redacted.make(marked(9))
      expect(() => crypto.publicKey(key)).toThrow("closed")
      expect(() => crypto.box(marked(9), key)).toThrow("closed")
      expect(() => crypto.secretBox(key)).toThrow("closed")
      expect(() => crypto.sha512(marked(9))).toThrow("closed")
    }))
})
