/** Which round trips of a link windows see, and when they are measured. */
import { assert, describe, it } from "@effect/vitest"
import type { LinkOutput } from "../../../src/protocol/session/LinkOutput.ts"
import { LinkRoundTrip } from "../../../src/protocol/session/LinkRoundTrip.ts"
import { muxPair } from "../../utils/muxPair.ts"

const output = (): LinkOutput => ({
  push: () => undefined,
  flush: () => undefined,
  send: () => true,
  hold: () => undefined
})

describe("LinkRoundTrip", () => {
  it("asks nothing over a link that is not up, and nothing for one that the sessions have left", () => {
    const { b, connect, links, settle, sever } = muxPair()
    const first = b.taken.get(links[0]!)!
    let asked = 0
    const { mux } = b
    const ping = mux.ping.bind(mux)
    mux.ping = (onPong) => {
      asked++
      return ping(onPong)
    }
    let now = 0
    const roundTrip = new LinkRoundTrip(() => now)
    roundTrip.onBytes(mux, first, now)
    assert.strictEqual(asked, 1)
    settle()
    assert.deepStrictEqual([roundTrip.value, roundTrip.least], [0, 0])
    const second = mux.attach([output()], () => undefined)
    now = 5_000
    const onSecond = new LinkRoundTrip(() => now)
    onSecond.onBytes(mux, second, now)
    roundTrip.onBytes(mux, first, now)
    assert.deepStrictEqual([mux.link === second, second.isUp, asked], [true, false, 1])
    sever()
    connect()
    settle()
    const third = b.taken.get(links[1]!)!
    assert.isTrue(mux.link === third && third.isUp)
    roundTrip.onBytes(mux, first, now)
    assert.strictEqual(asked, 1)
    new LinkRoundTrip(() => now).onBytes(mux, third, now)
    assert.strictEqual(asked, 2)
  })

  it("the sessions' windows follow both round trips of the link in use", () => {
    const { b: { mux } } = muxPair({ streams: 0 })
    const seen = () => [mux.sessionOptions.roundTrip(), mux.sessionOptions.leastRoundTrip()]
    assert.deepStrictEqual(seen(), [undefined, undefined])
    const relayed = mux.attach([output()], () => 30)
    assert.deepStrictEqual(seen(), [30, 30])
    const direct = mux.attach([output()], () => 8, { leastRoundTrip: () => 2 })
    assert.deepStrictEqual(seen(), [8, 2])
    mux.reattach(relayed)
    assert.deepStrictEqual(seen(), [30, 30])
    mux.detach(relayed)
    mux.reattach(direct)
    assert.deepStrictEqual(seen(), [8, 2])
  })
})
