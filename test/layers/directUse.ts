/** What the tests of direct streams do with them: a receiver that remembers, and writing with back-pressure. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { DirectStream } from "../../src/services/DirectTransport.ts"
import type { TransportError } from "../../src/services/RelayTransport.ts"
import { join } from "./transportUse.ts"

/** Compares without printing a megabyte. */
export const assertBytes = (actual: Uint8Array, expected: Uint8Array): void => {
  assert.strictEqual(actual.length, expected.length, "bytes in all")
  const differs = actual.findIndex((byte, at) => byte !== expected[at])
  assert.strictEqual(differs, -1, "first byte that differs")
}

/** A receiver and all that it was told. */
export class Receiver {
  readonly stream: DirectStream
  readonly chunks: Array<Uint8Array> = []
  /** In the order of the calls. */
  readonly calls: Array<"bytes" | "writable" | "closed"> = []
  size = 0
  error: TransportError | undefined
  closings = 0
  writables = 0
  readonly #waiting = new Set<() => void>()
  #echoes = false

  constructor(stream: DirectStream) {
    this.stream = stream
    stream.handle({
      onBytes: (bytes) => {
        this.calls.push("bytes")
        this.size += bytes.length
        if (this.#echoes) {
          if (!stream.write([bytes])) stream.hold(true)
        } else this.chunks.push(bytes)
        this.#wake()
      },
      onWritable: () => {
        this.calls.push("writable")
        this.writables++
        if (this.#echoes) stream.hold(false)
        this.#wake()
      },
      onClosed: (error) => {
        this.calls.push("closed")
        this.closings++
        this.error = error
        this.#wake()
      }
    })
  }

  /** Sends every byte back, with back-pressure. */
  static echo(stream: DirectStream): Receiver {
    const receiver = new Receiver(stream)
    receiver.#echoes = true
    for (const chunk of receiver.chunks.splice(0)) stream.write([chunk])
    return receiver
  }

  get bytes(): Uint8Array {
    return join(this.chunks)
  }

  /** Waits for a call after which it is true. */
  until(condition: () => boolean): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      const look = () => {
        if (!condition()) return
        this.#waiting.delete(look)
        resume(Effect.void)
      }
      this.#waiting.add(look)
      look()
      return Effect.sync(() => this.#waiting.delete(look))
    })
  }

  #wake(): void {
    for (const look of this.#waiting) look()
  }

  /** Everything, as soon as there are so many bytes; what an end before that left out is missing. */
  read(size: number): Effect.Effect<Uint8Array> {
    return Effect.map(this.until(() => this.size >= size || this.error !== undefined), () => this.bytes)
  }

  get closed(): Effect.Effect<TransportError> {
    return Effect.map(this.until(() => this.error !== undefined), () => this.error!)
  }

  /** Writes everything in batches of a few pieces, and stops whenever `write` says so. */
  writeAll(bytes: Uint8Array, batch: number): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      for (let at = 0; at < bytes.length; at += batch) {
        const piece = bytes.subarray(at, at + batch)
        const cut = piece.length >> 1
        const before = this.writables
        if (this.stream.write([piece.subarray(0, cut), piece.subarray(cut)])) continue
        yield* this.until(() => this.writables > before || this.error !== undefined)
      }
    })
  }
}
