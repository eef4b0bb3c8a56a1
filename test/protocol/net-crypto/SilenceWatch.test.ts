import { describe, expect, it } from "vitest"
import { SilenceWatch } from "../../../src/protocol/net-crypto/SilenceWatch.ts"

const cookie = Uint8Array.of(1, 2, 3)

describe("SilenceWatch", () => {
  it("a session is suspected after two and a half seconds of silence, and much sooner when the peer is online nowhere", () => {
    const watch = new SilenceWatch()
    expect(watch.suspectAt(10_000)).toBe(12_500)
    watch.online(false, 11_000)
    expect(watch.suspectAt(10_000)).toBe(11_300)
    // Heard since, out of band: the 300 ms begin again, but never later than the 2,500.
    expect(watch.suspectAt(11_200)).toBe(11_500)
    watch.online(false, 12_400)
    expect(watch.suspectAt(10_000)).toBe(12_500)
    watch.online(true, 12_450)
    expect(watch.suspectAt(12_000)).toBe(14_500)
  })

  it("the proof is the peer's cookie and 250 ms without a packet of the session; it is given out once", () => {
    const watch = new SilenceWatch()
    expect([watch.isProving, watch.provenAt, watch.proof(1e9, 0)]).toEqual([false, Infinity, undefined])
    watch.asked(4_000)
    watch.answered(cookie, 5_000)
    expect([watch.isProving, watch.provenAt]).toEqual([true, 5_250])
    expect(watch.proof(5_249, 1_000)).toBeUndefined()
    expect(watch.isProving).toBe(true)
    expect(watch.proof(5_250, 1_000)).toEqual(cookie)
    expect([watch.isProving, watch.proof(5_251, 1_000)]).toEqual([false, undefined])
  })

  it("a session that is heard after the first question is kept, also when its answer came before the cookie", () => {
    const watch = new SilenceWatch()
    watch.asked(4_000)
    watch.answered(cookie, 5_000)
    expect(watch.proof(5_250, 5_001)).toBeUndefined()
    expect(watch.isProving).toBe(false)
    watch.answered(cookie, 6_000)
    expect(watch.proof(6_250, 6_000)).toBeUndefined()
    watch.answered(cookie, 7_000)
    expect(watch.proof(7_250, 4_000)).toBeUndefined()
    // What was heard before the question proves nothing.
    watch.answered(cookie, 8_000)
    expect(watch.proof(8_250, 3_999)).toEqual(cookie)
  })

  it("later answers neither prolong the grace nor replace the cookie, which is a copy", () => {
    const watch = new SilenceWatch()
    const lent = cookie.slice()
    watch.asked(4_900)
    watch.answered(lent, 5_000)
    lent.fill(9)
    watch.answered(Uint8Array.of(7), 5_200)
    expect(watch.provenAt).toBe(5_250)
    expect(watch.proof(5_250, 0)).toEqual(cookie)
  })

  it("time in which our event loop did not run is given back, to the grace and to the time offline", () => {
    const watch = new SilenceWatch()
    watch.online(false, 1_000)
    watch.answered(cookie, 1_000)
    watch.excuse(3_000)
    expect(watch.provenAt).toBe(4_250)
    expect(watch.suspectAt(2_000)).toBe(4_300)
    const idle = new SilenceWatch()
    idle.excuse(3_000)
    expect([idle.provenAt, idle.suspectAt(0)]).toEqual([Infinity, 2_500])
  })

  it("such time does not make an old packet of the session younger than the question", () => {
    const watch = new SilenceWatch()
    watch.asked(4_000)
    watch.excuse(1_000)
    watch.answered(cookie, 5_000)
    expect([watch.isRefuted(4_999), watch.isRefuted(5_000)]).toEqual([false, true])
    expect(watch.proof(5_250, 4_700)).toEqual(cookie)
  })

  it("a question is refuted by what is heard after it, and by nothing while there is none", () => {
    const watch = new SilenceWatch()
    expect(watch.isRefuted(1e9)).toBe(false)
    watch.asked(4_000)
    expect([watch.isRefuted(3_999), watch.isRefuted(4_000)]).toEqual([false, true])
    watch.asked(4_500)
    expect(watch.isRefuted(4_200)).toBe(false)
  })

  it("reset forgets the answer, not where the peer is", () => {
    const watch = new SilenceWatch()
    watch.online(false, 1_000)
    watch.answered(cookie, 1_000)
    watch.reset()
    expect([watch.isProving, watch.proof(9_000, 0), watch.suspectAt(1_000)]).toEqual([false, undefined, 1_300])
  })
})
