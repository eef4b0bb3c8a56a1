import { describe, expect, it } from "@effect/vitest"
import * as fc from "fast-check"
import { DirectInbox } from "../../src/layers/DirectInbox.ts"
import { TransportError } from "../../src/services/RelayTransport.ts"

const ended = new TransportError({ kind: "Ended", detail: "FIN" })
const closed = new TransportError({ kind: "Reset", detail: "closed" })

/** An inbox, its source, and a receiver that remembers. */
const inboxAndSource = () => {
  const told: Array<string> = []
  let stopped = false
  let flushes = 0
  const inbox = new DirectInbox({
    stop: () => {
      stopped = true
    },
    start: () => {
      stopped = false
    },
    flushSoon: () => {
      flushes++
    }
  })
  return {
    inbox,
    told,
    isStopped: () => stopped,
    flush: () => {
      for (; flushes > 0; flushes--) inbox.flush()
    },
    receiver: (name = "") => ({
      onBytes: (bytes: Uint8Array) => told.push(`${name}${bytes.length}`),
      onWritable: () => told.push(`${name}writable`),
      onClosed: (error: TransportError) => told.push(`${name}${error.kind}`)
    })
  }
}

describe("DirectInbox", () => {
  it("delivers what comes inside the call, and the end once", () => {
    const { inbox, receiver, told } = inboxAndSource()
    inbox.handle(receiver())
    inbox.push(new Uint8Array(3))
    inbox.writable()
    inbox.end(ended)
    inbox.end(closed)
    inbox.push(new Uint8Array(4))
    inbox.writable()
    expect(told).toEqual(["3", "writable", "Ended"])
  })

  it("stops its source at 64 KiB, and starts it when they are taken", () => {
    const { inbox, isStopped, receiver, told } = inboxAndSource()
    inbox.push(new Uint8Array(65_535))
    expect(isStopped()).toBe(false)
    inbox.push(new Uint8Array(1))
    expect(isStopped()).toBe(true)
    inbox.push(new Uint8Array(9))
    inbox.handle(receiver())
    expect(told).toEqual(["65535", "1", "9"])
    expect(isStopped()).toBe(false)
  })

  it("held, it keeps bytes and the end behind them; let go, it delivers in a later call", () => {
    const { flush, inbox, receiver, told } = inboxAndSource()
    inbox.handle(receiver())
    inbox.hold(true)
    inbox.push(new Uint8Array(1))
    inbox.end(ended)
    expect(told).toEqual([])
    inbox.hold(false)
    expect(told).toEqual([])
    flush()
    expect(told).toEqual(["1", "Ended"])
  })

  it("an end with nothing before it is told although the stream is held", () => {
    const { inbox, receiver, told } = inboxAndSource()
    inbox.handle(receiver())
    inbox.hold(true)
    inbox.end(ended)
    expect(told).toEqual(["Ended"])
  })

  it("an end of our own drops what is kept, and is told in a later call", () => {
    const { flush, inbox, receiver, told } = inboxAndSource()
    inbox.handle(receiver())
    inbox.hold(true)
    inbox.push(new Uint8Array(1))
    inbox.abandon(closed)
    expect(told).toEqual([])
    flush()
    expect(told).toEqual(["Reset"])
  })

  it("another receiver takes over in the middle of a delivery", () => {
    const { inbox, receiver, told } = inboxAndSource()
    for (const size of [1, 2, 3]) inbox.push(new Uint8Array(size))
    const first = receiver("a")
    inbox.handle({
      ...first,
      onBytes: (bytes) => {
        first.onBytes(bytes)
        if (bytes.length === 2) inbox.handle(receiver("b"))
      }
    })
    inbox.end(ended)
    expect(told).toEqual(["a1", "a2", "b3", "bEnded"])
    inbox.handle(receiver("c"))
    expect(told.slice(4)).toEqual(["cEnded"])
  })

  it("in any order of calls: every byte once and in order, the end last and once, the source never stopped for good", () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("push" as const), size: fc.integer({ min: 1, max: 50_000 }) }),
      fc.record({ kind: fc.constantFrom("hold" as const, "release" as const, "flush" as const, "handle" as const) })
    )
    fc.assert(fc.property(fc.array(step, { maxLength: 60 }), fc.boolean(), (steps, holdsInside) => {
      const { flush, inbox, isStopped } = inboxAndSource()
      const pushed: Array<Uint8Array> = []
      const got: Array<Uint8Array> = []
      let ends = 0
      const handlers = {
        onBytes: (bytes: Uint8Array) => {
          expect(ends).toBe(0)
          got.push(bytes)
          if (holdsInside && got.length % 3 === 0) inbox.hold(true)
        },
        onWritable: () => {},
        onClosed: () => {
          ends++
        }
      }
      for (const each of steps) {
        if (each.kind === "push") {
          if (isStopped()) continue
          const bytes = new Uint8Array(each.size)
          pushed.push(bytes)
          inbox.push(bytes)
        } else if (each.kind === "hold" || each.kind === "release") inbox.hold(each.kind === "hold")
        else if (each.kind === "flush") flush()
        else inbox.handle(handlers)
      }
      inbox.end(ended)
      inbox.handle(handlers)
      for (let round = 0; round < 100 && ends === 0; round++) {
        inbox.hold(false)
        flush()
      }
      expect(ends).toBe(1)
      expect(isStopped()).toBe(false)
      expect(got.length).toBe(pushed.length)
      expect(got.every((bytes, at) => bytes === pushed[at])).toBe(true)
    }))
  })
})
