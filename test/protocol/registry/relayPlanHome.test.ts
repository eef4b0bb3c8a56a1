/** Which relays are kept so that we can be called: only our own are known to those who do not know us yet. */
import { describe, expect, it } from "vitest"
import type { PeerSlots } from "../../../src/protocol/registry/PeerSlots.ts"
import { makeRelayEntry, type RelayEntry } from "../../../src/protocol/registry/RelayEntry.ts"
import { planRelays } from "../../../src/protocol/registry/relayPlan.ts"
import { Suspicion } from "../../../src/protocol/registry/Suspicion.ts"
import { toHex } from "../../../src/schema/Bytes.ts"
import { relayAt } from "../../utils/FakeLinks.ts"

const options = { desired: 3, minimum: 3, onion: 0, connectTime: 10_000, now: 100_000 }

const relay = (number: number, isHome: boolean, state: "connected" | "idle" | "asleep"): RelayEntry =>
  Object.assign(makeRelayEntry(toHex(relayAt(number).publicKey), relayAt(number)), {
    isHome,
    isGiven: true,
    intent: state === "connected" ? "up" : state,
    // The plan only asks whether there is one.
    link: state === "connected" ? {} : undefined
  })

/** A peer that is online on these relays. */
const peerOn = (relays: ReadonlyArray<RelayEntry>): PeerSlots => {
  const peer = { isAsleep: false, needs: (desired: number) => desired, slots: [] as Array<unknown> }
  for (const entry of relays) {
    const slot = { peer, entry, status: "online", suspicion: new Suspicion() }
    peer.slots.push(slot)
    entry.slots.add(slot as never)
  }
  return peer as never
}

const numbers = (relays: Iterable<RelayEntry>) => Array.from(relays, ({ relay }) => relay.host)

describe("planRelays and our own relays", () => {
  it("T18: relays that serve a peer do not stand in for our own", () => {
    const home = [1, 2, 3].map((number) => relay(number, true, "connected"))
    const others = [4, 5, 6].map((number) => relay(number, false, "connected"))
    const plan = planRelays([...home, ...others], [peerOn(others)], options)
    expect(numbers(plan.stop.keys())).toEqual([])
  })

  it("T18: our own are started again while others are connected", () => {
    const home = [relay(1, true, "idle"), relay(2, true, "asleep"), relay(3, true, "connected")]
    const others = [4, 5, 6].map((number) => relay(number, false, "connected"))
    const plan = planRelays([...home, ...others], [peerOn(others)], options)
    expect(numbers(plan.start)).toEqual(numbers(home.slice(0, 2)))
  })

  it("T10, T19: of our own, too, there are no more than the minimum", () => {
    const home = [1, 2, 3, 4, 5].map((number) => relay(number, true, "connected"))
    const plan = planRelays(home, [], options)
    expect(plan.stop.size).toBe(2)
    expect(plan.start.size).toBe(0)
  })

  it("T19, T15, poisoned lists: what is only a peer's word fills neither the minimum nor the onion's share, nor counts as coming", () => {
    const word = (number: number, isUp: boolean) =>
      Object.assign(relay(number, false, "idle"), {
        isGiven: false,
        intent: isUp ? "up" : "idle",
        upSince: options.now
      })
    const proven = Object.assign(relay(3, false, "idle"), { isGiven: false, isProven: true })
    for (const wanted of [{ minimum: 1, onion: 0 }, { minimum: 0, onion: 1 }]) {
      const plan = planRelays([word(1, false), word(2, true), proven], [], { ...options, ...wanted })
      expect(numbers(plan.start)).toEqual([relayAt(3).host])
    }
  })

  it("T19: where we have fewer of our own, any others fill the minimum", () => {
    const home = relay(1, true, "connected")
    const others = [4, 5, 6].map((number) => relay(number, false, "idle"))
    const plan = planRelays([home, ...others], [], options)
    expect(plan.start.size).toBe(2)
  })
})
