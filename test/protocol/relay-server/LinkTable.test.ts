import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { LinkTable } from "../../../src/protocol/relay-server/LinkTable.ts"

const table = (key: string) => new LinkTable<string>(key, key)

describe("LinkTable", () => {
  it("C10: holds 240 peers, ids 16 to 255, lowest free id first, then refuses", () => {
    const a = table("a")
    for (let i = 0; i < 240; i++) assert.strictEqual(a.register(`peer ${i}`), 16 + i)
    assert.strictEqual(a.register("one too many"), 0)
    assert.isTrue(a.release(100))
    assert.isTrue(a.release(20))
    assert.strictEqual(a.register("x"), 20)
    assert.strictEqual(a.register("y"), 100)
    assert.strictEqual(a.register("z"), 0)
  })

  it("C11: refuses the client's own key", () => {
    assert.strictEqual(table("a").register("a"), 0)
  })

  it("links only when both have asked, and translates between their ids", () => {
    const a = table("a"), b = table("b")
    a.register("somebody else")
    const ab = a.register("b")
    assert.isUndefined(a.link(b))
    assert.strictEqual(a.status(ab), "registered")
    const ba = b.register("a")
    assert.deepStrictEqual(b.link(a), { ours: ba, theirs: ab })
    assert.strictEqual(a.status(ab), "online")
    assert.strictEqual(a.peer(ab), b)
    assert.strictEqual(a.peerId(ab), ba)
    assert.strictEqual(b.peerId(ba), ab)
    assert.isUndefined(b.link(a), "a second time is no event")
  })

  it("keeps the peer's slot registered when the other end goes, and links it again", () => {
    const a = table("a"), b = table("b")
    const ab = a.register("b")
    b.register("a")
    a.link(b)
    const told: Array<unknown> = []
    b.releaseAll((peer, peerId) => told.push([peer.owner, peerId]))
    assert.deepStrictEqual(told, [["a", ab]])
    assert.strictEqual(a.status(ab), "registered")
    assert.isUndefined(a.peer(ab))
    const returned = table("b")
    returned.register("a")
    assert.isDefined(returned.link(a))
    assert.strictEqual(a.peer(ab), returned)
  })

  it("releases an id once", () => {
    const a = table("a")
    const id = a.register("b")
    assert.isTrue(a.release(id))
    for (const free of [id, 0, 15, 16, 255]) assert.isFalse(a.release(free), `id ${free}`)
  })

  it("C09: behaves as a naive model does, under any sequence of four clients' requests, releases and logins", () => {
    const names = ["a", "b", "c", "d"] as const
    const client = fc.integer({ min: 0, max: 3 })
    const operation = fc.oneof(
      fc.record({ kind: fc.constant("request" as const), who: client, whom: fc.integer({ min: 0, max: 5 }) }),
      fc.record({ kind: fc.constant("release" as const), who: client, id: fc.integer({ min: 14, max: 22 }) }),
      fc.record({ kind: fc.constant("login" as const), who: client })
    )
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 80 }), (operations) => {
        const tables = names.map((name) => table(name))
        /** Per client: which key each id stands for. Who is linked follows from both sides holding each other since the later request. */
        const held = names.map(() => new Map<number, string>())
        const links = new Set<string>()
        const keyAt = (whom: number) => names[whom] ?? `stranger ${whom}`
        const idOf = (who: number, key: string) => [...held[who]!].find(([, at]) => at === key)?.[0]
        const unlink = (who: number, key: string) => links.delete([names[who]!, key].sort().join())
        for (const step of operations) {
          const { who } = step
          const own = tables[who]!
          if (step.kind === "request") {
            const key = keyAt(step.whom)
            const known = idOf(who, key)
            assert.strictEqual(own.find(key), known ?? 0)
            if (known !== undefined) continue
            let expected = 16
            while (held[who]!.has(expected)) expected++
            if (step.whom === who) expected = 0
            assert.strictEqual(own.register(key), expected)
            if (expected === 0) continue
            held[who]!.set(expected, key)
            const other = tables[step.whom]
            if (other === undefined) continue
            const theirs = idOf(step.whom, names[who]!)
            assert.deepStrictEqual(own.link(other), theirs === undefined ? undefined : { ours: expected, theirs })
            if (theirs !== undefined) links.add([names[who]!, key].sort().join())
          } else if (step.kind === "release") {
            const key = held[who]!.get(step.id)
            assert.strictEqual(own.release(step.id), key !== undefined)
            if (key === undefined) continue
            held[who]!.delete(step.id)
            unlink(who, key)
          } else {
            const told: Array<string> = []
            own.releaseAll((peer, peerId) => told.push(`${peer.owner} ${peerId}`))
            const expected = [...held[who]!.values()]
              .filter((key) => links.has([names[who]!, key].sort().join()))
              .map((key) => `${key} ${idOf(names.indexOf(key as "a"), names[who]!)}`)
            assert.deepStrictEqual(told.sort(), expected.sort())
            for (const key of held[who]!.values()) unlink(who, key)
            held[who]!.clear()
            tables[who] = table(names[who]!)
          }
          for (let i = 0; i < 4; i++) {
            for (let id = 14; id < 26; id++) {
              const key = held[i]!.get(id)
              const linked = key !== undefined && links.has([names[i]!, key].sort().join())
              const status = key === undefined ? "free" : linked ? "online" : "registered"
              assert.strictEqual(tables[i]!.status(id), status)
              assert.strictEqual(tables[i]!.peer(id)?.owner, linked ? key : undefined)
              if (linked) assert.strictEqual(tables[i]!.peerId(id), idOf(names.indexOf(key as "a"), names[i]!))
            }
          }
        }
      }),
      { numRuns: 500 }
    )
  })
})
