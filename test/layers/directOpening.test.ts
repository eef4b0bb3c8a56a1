import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "fast-check"
import { OpeningStream } from "../../src/layers/directOpening.ts"
import type { DirectStream, DirectStreamHandlers } from "../../src/services/DirectTransport.ts"
import { TransportError } from "../../src/services/RelayTransport.ts"

const over = new TransportError({ kind: "Ended", detail: "FIN" })

/** A stream by hand: `push` delivers, as a transport would, unless the stream is held. */
class Wire implements DirectStream {
  readonly remote = { host: "10.0.0.1", port: 1 }
  readonly keyExchange = "none"
  readonly pskIdentity = "who"
  readonly calls: Array<string> = []
  held = false
  #handlers: DirectStreamHandlers | undefined = undefined
  readonly handle = (handlers: DirectStreamHandlers): void => {
    this.#handlers = handlers
  }
  readonly write = (): boolean => false
  readonly hold = (held: boolean): void => {
    this.held = held
  }
  readonly destroy = (): void => {
    this.calls.push("destroy")
  }
  /** No transport delivers chunks without bytes. */
  push(...bytes: ReadonlyArray<number>): void {
    if (bytes.length > 0) this.#handlers?.onBytes(Uint8Array.from(bytes))
  }
  drain(): void {
    this.#handlers?.onWritable()
  }
  end(): void {
    this.#handlers?.onClosed(over)
  }
}

const opened = (packetSize = 3) => {
  const wire = new Wire()
  const events: Array<string> = []
  const opening = new OpeningStream(wire, packetSize, {
    onPacket: (packet) => events.push(`packet ${packet.join()}`),
    onUsed: () => events.push("used"),
    onClosed: () => events.push("closed")
  })
  opening.begin()
  return { wire, events, opening }
}

const user = (opening: OpeningStream) => {
  const seen: Array<string> = []
  opening.handle({
    onBytes: (bytes) => seen.push(bytes.join()),
    onWritable: () => seen.push("writable"),
    onClosed: ({ kind }) => seen.push(kind)
  })
  return seen
}

describe("OpeningStream", () => {
  it("reads one packet, however it is cut", () => {
    FastCheck.assert(FastCheck.property(FastCheck.array(FastCheck.nat(4), { maxLength: 6 }), (cuts) => {
      const { events, opening, wire } = opened()
      let at = 0
      const stream = [1, 2, 3, 4, 5, 6]
      for (const size of cuts) {
        wire.push(...stream.slice(at, at + size))
        at += size
      }
      wire.push(...stream.slice(at))
      assert.deepStrictEqual(events.filter((event) => event !== "used"), ["packet 1,2,3"])
      assert.strictEqual(user(opening).join(), "4,5,6")
    }))
  })

  it("holds the stream as soon as there are bytes behind the packet, and lets it go when somebody receives them", () => {
    const { events, opening, wire } = opened()
    wire.push(1, 2, 3)
    assert.deepStrictEqual([wire.held, opening.isUsed], [false, false])
    wire.push(4)
    assert.deepStrictEqual([wire.held, opening.isUsed, events], [true, true, ["packet 1,2,3", "used"]])
    // What was under way when the hold came.
    wire.push(5)
    assert.deepStrictEqual(events, ["packet 1,2,3", "used"])
    const seen = user(opening)
    assert.deepStrictEqual([seen, wire.held], [["4", "5"], false])
    wire.push(6)
    wire.drain()
    assert.deepStrictEqual(seen, ["4", "5", "6", "writable"])
  })

  it("a user who holds the stream gets nothing until it lets go, also inside the delivery of what was kept", async () => {
    const { opening, wire } = opened()
    wire.push(1, 2, 3, 4)
    wire.push(5)
    const seen: Array<string> = []
    opening.handle({
      onBytes: (bytes) => {
        seen.push(bytes.join())
        opening.hold(true)
      },
      onWritable: () => {},
      onClosed: () => {}
    })
    assert.deepStrictEqual([seen, wire.held], [["4"], true])
    opening.hold(false)
    assert.deepStrictEqual(seen, ["4"])
    // What comes before the rest is delivered comes behind it.
    wire.push(6)
    await Promise.resolve()
    assert.deepStrictEqual([seen, wire.held], [["4", "5"], true])
    opening.hold(false)
    await Promise.resolve()
    assert.deepStrictEqual([seen, wire.held], [["4", "5", "6"], true])
    opening.hold(false)
    assert.isFalse(wire.held)
    // Before anybody handles it as well.
    const early = opened()
    early.wire.push(1, 2, 3, 4)
    early.opening.hold(true)
    assert.deepStrictEqual(user(early.opening), [])
  })

  it("a user who holds the stream at its end gets the rest, and then the end, when it lets go", async () => {
    const { events, opening, wire } = opened()
    wire.push(1, 2, 3, 4)
    opening.hold(true)
    const seen = user(opening)
    wire.end()
    await Promise.resolve()
    assert.deepStrictEqual([seen, events.at(-1)], [[], "closed"])
    opening.hold(false)
    await Promise.resolve()
    assert.deepStrictEqual(seen, ["4", "Ended"])
  })

  it("a user who holds the stream and destroys it is told, and gets nothing more", async () => {
    const { opening, wire } = opened()
    wire.push(1, 2, 3, 4)
    opening.hold(true)
    const seen = user(opening)
    opening.destroy()
    assert.deepStrictEqual(seen, [])
    await Promise.resolve()
    wire.end()
    opening.hold(false)
    await Promise.resolve()
    assert.deepStrictEqual([seen, wire.calls], [["Reset"], ["destroy"]])
  })

  it("tells of the end behind the last bytes, also those who come later", () => {
    const { events, opening, wire } = opened()
    wire.push(1, 2, 3, 4)
    wire.end()
    assert.strictEqual(events.at(-1), "closed")
    assert.deepStrictEqual(user(opening), ["4", "Ended"])
    const used = opened()
    used.wire.push(1, 2, 3)
    const seen = user(used.opening)
    used.wire.end()
    assert.deepStrictEqual([seen, used.events.at(-1)], [["Ended"], "closed"])
  })

  it("is the stream below in everything else", () => {
    const { opening, wire } = opened()
    assert.deepStrictEqual([opening.remote, opening.keyExchange, opening.pskIdentity], [wire.remote, "none", "who"])
    assert.isFalse(opening.write([]))
    opening.destroy()
    assert.deepStrictEqual(wire.calls, ["destroy"])
  })
})
