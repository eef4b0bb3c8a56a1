import { describe, expect, it } from "@effect/vitest"
import * as fc from "fast-check"
import { PendingCallers } from "../../../src/protocol/direct/PendingCallers.ts"

describe("PendingCallers", () => {
  it("I23: caps one address and all of them; who leaves makes room", () => {
    const callers = new PendingCallers(5, 2)
    expect(["10.0.0.1", "10.0.0.1", "10.0.0.1"].map((address) => callers.enter(address))).toEqual([true, true, false])
    expect(["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"].map((address) => callers.enter(address)))
      .toEqual([true, true, true, false])
    callers.leave("10.0.0.1")
    expect(callers.enter("10.0.0.5")).toBe(true)
    expect(callers.enter("10.0.0.1")).toBe(false)
  })

  it("counts IPv6 by /64, and an IPv4 address in IPv6's clothes as itself", () => {
    const callers = new PendingCallers(100, 1)
    expect(callers.enter("2001:db8:1:2::1")).toBe(true)
    expect(callers.enter("2001:db8:1:2:ffff::9")).toBe(false)
    expect(callers.enter("2001:db8:1:3::1")).toBe(true)
    expect(callers.enter("192.0.2.1")).toBe(true)
    expect(callers.enter("::ffff:192.0.2.1")).toBe(false)
    callers.leave("2001:db8:1:2::77")
    expect(callers.enter("2001:db8:1:2::1")).toBe(true)
  })

  it("in any order of coming and going: never more than the caps, and nothing is left at the end", () => {
    const address = fc.constantFrom("10.0.0.1", "10.0.0.2", "10.0.0.3", "2001:db8::1", "2001:db8::2")
    fc.assert(fc.property(fc.array(fc.record({ address, leaves: fc.boolean() }), { maxLength: 80 }), (steps) => {
      const callers = new PendingCallers(6, 3)
      const inside: Array<string> = []
      for (const { address, leaves } of steps) {
        const at = leaves ? inside.indexOf(address) : -1
        if (at >= 0) {
          inside.splice(at, 1)
          callers.leave(address)
        } else if (!leaves) {
          const group = (other: string) => other.startsWith("2001") ? "v6" : other
          const same = inside.filter((other) => group(other) === group(address)).length
          expect(callers.enter(address)).toBe(inside.length < 6 && same < 3)
          if (inside.length < 6 && same < 3) inside.push(address)
        }
        expect(callers.total).toBe(inside.length)
      }
      for (const address of inside) callers.leave(address)
      callers.leave("10.0.0.1")
      expect(callers.total).toBe(0)
    }))
  })
})
