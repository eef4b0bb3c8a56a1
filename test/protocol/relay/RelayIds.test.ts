import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { RelayIds } from "../../../src/protocol/relay/RelayIds.ts"

const key = (n: number) => new Uint8Array(32).fill(n)
const granted = (ids: RelayIds, id: number, n: number) => {
  ids.request(key(n))
  expect(ids.onResponse(id, key(n))).toBe("Registered")
}

describe("RelayIds", () => {
  it("goes from free to registered to online and back", () => {
    const ids = new RelayIds()
    granted(ids, 16, 1)
    expect([ids.isHeld(16), ids.isOnline(16)]).toEqual([true, false])
    expect(ids.onConnect(16)).toBe(true)
    expect(ids.isOnline(16)).toBe(true)
    expect(ids.onDisconnect(16)).toBe(true)
    expect([ids.isHeld(16), ids.isOnline(16)]).toEqual([true, false])
    expect(ids.release(16)).toBe(true)
    expect(ids.isHeld(16)).toBe(false)
  })

  it("C09: a response of id 0 settles the request as refused", () => {
    const ids = new RelayIds()
    ids.request(key(1))
    expect(ids.onResponse(0, key(1))).toBe("Refused")
    expect(ids.counts()).toEqual({ held: 0, online: 0, requested: 0 })
    expect(ids.onResponse(0, key(1))).toBe("Ignored")
    expect(ids.request(key(1))).toBe(true)
  })

  it("C10: holds 240 peers, ids 16 to 255", () => {
    const ids = new RelayIds()
    for (let id = 16; id <= 255; id++) granted(ids, id, id)
    for (let id = 16; id <= 255; id++) expect(ids.onConnect(id)).toBe(true)
    expect(ids.counts()).toEqual({ held: 240, online: 240, requested: 0 })
    for (const id of [0, 15, 256, -1]) expect(ids.isHeld(id)).toBe(false)
  })

  it("relay client: a response for a key not asked for is ignored", () => {
    const ids = new RelayIds()
    expect(ids.onResponse(16, key(1))).toBe("Ignored")
    expect(ids.isHeld(16)).toBe(false)
    granted(ids, 16, 1)
    expect(ids.onResponse(17, key(1))).toBe("Ignored")
    expect(ids.isHeld(17)).toBe(false)
  })

  it.each([1, 15])("relay client: a response of id %i counts as a refusal", (id) => {
    const ids = new RelayIds()
    ids.request(key(1))
    expect(ids.onResponse(id, key(1))).toBe("Refused")
    expect(ids.counts()).toEqual({ held: 0, online: 0, requested: 0 })
  })

  it("relay client: a response with an id in use is a refusal and leaves its holder alone", () => {
    const ids = new RelayIds()
    granted(ids, 16, 1)
    ids.onConnect(16)
    ids.request(key(2))
    expect(ids.onResponse(16, key(2))).toBe("Refused")
    expect(ids.isOnline(16)).toBe(true)
    ids.request(key(1))
    expect(ids.onResponse(16, key(1))).toBe("Repeated")
    expect(ids.isOnline(16)).toBe(true)
  })

  it("relay client: a second id for a key that has one is a refusal", () => {
    const ids = new RelayIds()
    granted(ids, 16, 1)
    ids.request(key(1))
    expect(ids.onResponse(17, key(1))).toBe("Refused")
    expect(ids.counts().held).toBe(1)
  })

  it("relay client: connect before the response changes nothing", () => {
    const ids = new RelayIds()
    ids.request(key(1))
    expect(ids.onConnect(16)).toBe(false)
    granted(ids, 16, 1)
    expect(ids.isOnline(16)).toBe(false)
  })

  it("relay client: a doubled connect or disconnect is no transition, and counters do not drift", () => {
    const ids = new RelayIds()
    granted(ids, 16, 1)
    expect([ids.onConnect(16), ids.onConnect(16)]).toEqual([true, false])
    expect(ids.counts().online).toBe(1)
    expect([ids.onDisconnect(16), ids.onDisconnect(16)]).toEqual([true, false])
    expect(ids.counts()).toEqual({ held: 1, online: 0, requested: 0 })
  })

  it("releases an id once, and one that is not held never", () => {
    const ids = new RelayIds()
    granted(ids, 16, 1)
    expect([ids.release(16), ids.release(16), ids.release(17), ids.release(3)]).toEqual([true, false, false, false])
    expect([ids.onConnect(16), ids.onDisconnect(16)]).toEqual([false, false])
  })

  it("has one request per key outstanding", () => {
    const ids = new RelayIds()
    expect([ids.request(key(1)), ids.request(key(1)), ids.request(key(2))]).toEqual([true, false, true])
  })

  it("property: agrees with a simple model under any order of events", () => {
    const event = fc.record({
      do: fc.constantFrom("request", "response", "connect", "disconnect", "release"),
      id: fc.constantFrom(0, 5, 15, 16, 17, 18, 255),
      peer: fc.integer({ min: 1, max: 4 })
    })
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        const ids = new RelayIds()
        const requested = new Set<number>()
        const held = new Map<number, { peer: number; online: boolean }>()
        for (const { do: what, id, peer } of events) {
          const slot = held.get(id)
          switch (what) {
            case "request":
              expect(ids.request(key(peer))).toBe(!requested.has(peer))
              requested.add(peer)
              break
            case "response": {
              const asked = requested.delete(peer)
              const has = [...held.values()].some((other) => other.peer === peer)
              const expected = !asked ?
                "Ignored"
                : slot?.peer === peer ?
                "Repeated"
                : id < 16 || slot !== undefined || has ?
                "Refused"
                : "Registered"
              if (expected === "Registered") held.set(id, { peer, online: false })
              expect(ids.onResponse(id, key(peer))).toBe(expected)
              break
            }
            case "connect":
              expect(ids.onConnect(id)).toBe(slot !== undefined && !slot.online)
              if (slot !== undefined) slot.online = true
              break
            case "disconnect":
              expect(ids.onDisconnect(id)).toBe(slot?.online === true)
              if (slot !== undefined) slot.online = false
              break
            case "release":
              expect(ids.release(id)).toBe(held.delete(id))
          }
          for (const id of [0, 5, 15, 16, 17, 18, 255]) {
            expect(ids.isHeld(id)).toBe(held.has(id))
            expect(ids.isOnline(id)).toBe(held.get(id)?.online === true)
          }
          const online = [...held.values()].filter((slot) => slot.online).length
          expect(ids.counts()).toEqual({ held: held.size, online, requested: requested.size })
        }
      }),
      { numRuns: 300 }
    )
  })
})
