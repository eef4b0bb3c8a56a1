import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { type MeasuredWay, PathSurvey } from "../../../src/protocol/net-crypto/PathSurvey.ts"
import type { PeerPath, PeerWay } from "../../../src/protocol/registry/PeerPath.ts"
import * as EntropySeeded from "../../../src/testing/EntropySeeded.ts"
import { relayAt } from "../../utils/FakeLinks.ts"

const question = (echoId: Uint8Array) => Uint8Array.of(24, ...echoId)

/** A path over these carriers, 0 for a relay on which the peer is not online; the first one carries. */
const surveying = (...carriers: ReadonlyArray<number>) => {
  const state = {
    now: 1_000,
    ways: carriers.map((carrier, n): PeerWay => ({ relay: relayAt(n + 1), carrier })),
    active: carriers[0] ?? 0
  }
  const full = new Set<number>()
  const asked: Array<{ readonly carrier: number; readonly packet: ReadonlyArray<number> }> = []
  let inSend: (echoId: Uint8Array) => void = () => {}
  const path = {
    ways: () => state.ways,
    carrier: () => state.active,
    sendVia: (carrier: number, frame: Uint8Array, length: number) => {
      if (full.has(carrier)) return false
      asked.push({ carrier, packet: [...frame.subarray(1, length)] })
      inSend(frame.slice(2, length))
      return true
    }
  } as unknown as PeerPath
  const survey = new PathSurvey(EntropySeeded.make(1).fill, () => state.now)
  const frame = new Uint8Array(200)
  const results: Array<ReadonlyArray<MeasuredWay>> = []
  const start = () => survey.start(path, frame, question, (ways) => results.push(ways))
  /** The n-th question is answered now. */
  const answer = (n: number) => survey.onAnswer(Uint8Array.from(asked[n]!.packet.slice(1)), state.now)
  const at = (now: number, lag = 0) => {
    state.now = now
    survey.onTimer(now, lag)
  }
  const answersInSend = () => {
    inSend = (echoId) => survey.onAnswer(echoId, state.now)
  }
  const times = () => results.map((ways) => ways.map(({ roundTrip }) => roundTrip))
  return { survey, path, state, full, asked, results, start, answer, at, answersInSend, times }
}

describe("PathSurvey", () => {
  it("asks over every relay that the peer is online on, the carrier too, at once, with an echo of its own each", () => {
    const { asked, results, start, survey } = surveying(7, 0, 8, 9)
    expect(survey.deadline).toBe(Infinity)
    start()
    expect(asked.map(({ carrier }) => carrier)).toEqual([7, 8, 9])
    expect(asked.every(({ packet }) => packet.length === 9 && packet[0] === 24)).toBe(true)
    expect(new Set(asked.map(({ packet }) => packet.join())).size).toBe(3)
    expect(survey.deadline).toBe(3_000)
    expect(results).toEqual([])
  })

  it("matches answers by echo id, in whatever order, and ends with the last one", () => {
    const { answer, results, start, state, survey } = surveying(7, 0, 8, 9)
    start()
    for (const [n, now] of [[2, 1_005], [0, 1_040.5], [1, 2_999]] as const) {
      expect(results).toEqual([])
      state.now = now
      expect(answer(n)).toBe(true)
    }
    expect(results).toEqual([[
      { relay: relayAt(1), carrier: 7, carries: true, roundTrip: 40.5 },
      { relay: relayAt(2), carrier: 0, carries: false, roundTrip: undefined },
      { relay: relayAt(3), carrier: 8, carries: false, roundTrip: 1_999 },
      { relay: relayAt(4), carrier: 9, carries: false, roundTrip: 5 }
    ]])
    expect(survey.deadline).toBe(Infinity)
  })

  it("what has not been answered after two seconds has no round trip, and its late answer is nobody's", () => {
    const { answer, at, start, state, survey, times } = surveying(7, 8)
    start()
    state.now = 1_010
    answer(1)
    at(2_999)
    expect(times()).toEqual([])
    at(3_000)
    expect(times()).toEqual([[undefined, 10]])
    expect(answer(0)).toBe(false)
    expect(times()).toHaveLength(1)
    expect(survey.deadline).toBe(Infinity)
  })

  it("an answer counts once, and one to another question not at all", () => {
    const { answer, start, state, survey, times } = surveying(7, 8)
    start()
    expect(survey.onAnswer(new Uint8Array(8), 1_001)).toBe(false)
    state.now = 1_010
    expect([answer(0), answer(0)]).toEqual([true, false])
    expect(times()).toEqual([])
  })

  it("a full relay is not waited for; when nothing can be asked the result is there at once", () => {
    const some = surveying(7, 8)
    some.full.add(7)
    some.start()
    some.state.now = 1_010
    some.answer(0)
    expect(some.times()).toEqual([[undefined, 10]])
    for (const { asked, full, start, times } of [surveying(), surveying(0, 0), surveying(7)]) {
      full.add(7)
      start()
      expect([asked.length, times().length]).toEqual([0, 1])
    }
  })

  it("an answer in the middle of the question counts, and the result is given once", () => {
    const { answersInSend, start, times } = surveying(7, 8)
    answersInSend()
    start()
    expect(times()).toEqual([[0, 0]])
  })

  it("tells of the relays as they were when they were asked", () => {
    const { answer, results, start, state } = surveying(7, 8)
    start()
    state.active = 8
    state.ways = [{ relay: relayAt(1), carrier: 0 }, { relay: relayAt(2), carrier: 8 }]
    for (const n of [0, 1]) answer(n)
    expect(results[0]!.map(({ carrier, carries }) => [carrier, carries])).toEqual([[7, true], [8, false]])
  })

  it("the ways are as they are now, with the times of the survey that ended last, and none of an earlier spell", () => {
    const { answer, at, path, start, state, survey } = surveying(7, 8)
    const known = () => survey.waysOf(path).map(({ carrier, carries, roundTrip }) => [carrier, carries, roundTrip])
    expect(known()).toEqual([[7, true, undefined], [8, false, undefined]])
    start()
    state.now = 1_010
    answer(0)
    expect(known()).toEqual([[7, true, undefined], [8, false, undefined]])
    state.now = 1_020
    answer(1)
    expect(known()).toEqual([[7, true, 10], [8, false, 20]])
    state.active = 8
    state.ways = [{ relay: relayAt(1), carrier: 11 }, { relay: relayAt(2), carrier: 8 }, {
      relay: relayAt(3),
      carrier: 0
    }]
    expect(known()).toEqual([[11, false, undefined], [8, true, 20], [0, false, undefined]])
    // One that does not answer this time has no time.
    start()
    at(9_000)
    expect(known()).toEqual([[11, false, undefined], [8, true, undefined], [0, false, undefined]])
  })

  it("one that is given up reports nothing, and leaves the others alone", () => {
    const { answer, at, start, state, survey, times } = surveying(7)
    const stop = start()
    state.now = 1_500
    start()
    stop()
    expect([answer(0), survey.deadline]).toEqual([false, 3_500])
    at(3_000)
    expect(times()).toEqual([])
    state.now = 3_100
    expect(answer(1)).toBe(true)
    expect(times()).toEqual([[1_600]])
    stop()
  })

  it("time in which our event loop did not run is given back, but never more than the whole time", () => {
    const { answer, at, start, survey, times } = surveying(7)
    start()
    at(4_000, 2_500)
    expect([times(), survey.deadline]).toEqual([[], 5_500])
    at(5_400, 60_000)
    expect(survey.deadline).toBe(7_400)
    // It is measured as it was.
    expect(answer(0)).toBe(true)
    expect(times()).toEqual([[4_400]])
  })

  it("any number at a time: each gets its own answers, and all of them", () => {
    fc.assert(fc.property(
      fc.array(fc.record({ at: fc.nat(5_000), takes: fc.array(fc.nat(3_000), { minLength: 3, maxLength: 3 }) }), {
        minLength: 1,
        maxLength: 6
      }),
      (surveys) => {
        const { answer, asked, at, path, state, survey } = surveying(7, 8, 9)
        const got = new Map<number, ReadonlyArray<number | undefined>>()
        const calls: Array<number> = []
        const events: Array<readonly [at: number, run: () => void]> = []
        for (const [n, { at: begin, takes }] of surveys.entries()) {
          events.push([begin, () => {
            const first = asked.length
            survey.start(path, new Uint8Array(200), question, (ways) => {
              calls.push(n)
              got.set(n, ways.map(({ roundTrip }) => roundTrip))
            })
            for (const [way, time] of takes.entries()) events.push([begin + time + 0.5, () => void answer(first + way)])
          }])
        }
        while (events.length > 0) {
          events.sort(([a], [b]) => a - b)
          const [time, run] = events.shift()!
          while (survey.deadline <= time) at(survey.deadline)
          state.now = time
          run()
        }
        while (survey.deadline < Infinity) at(survey.deadline)
        expect(calls.toSorted()).toEqual(surveys.map((_, n) => n))
        for (const [n, { takes }] of surveys.entries()) {
          expect(got.get(n)).toEqual(takes.map((time) => time + 0.5 < 2_000 ? time + 0.5 : undefined))
        }
      }
    ))
  })
})
