/** Two c-toxcore peers through a relay of ours, `causeway relay`: a relay that stock clients cannot tell from their own. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Command from "./command.ts"
import * as Reference from "./referencePrograms.ts"

const packets = 20_000

/** A relay of ours as an argument for the reference programs. */
const ourRelay = Effect.gen(function*() {
  const relay = yield* Command.start(["relay", "--host", "127.0.0.1", "--port", "0"])
  const listening = yield* relay.next("listening")
  const address = `${String(listening["host"])}:${String(listening["port"])}:${String(listening["publicKey"])}`
  return { relay, use: ["--relay", address] }
})

/** A waiting c-toxcore peer, and what its caller needs. */
const callee = Effect.fnUntraced(function*(use: ReadonlyArray<string>, app: string) {
  const peer = yield* Reference.peer("ctoxpeer", ["accept", ...use, "--app", app])
  const ready = yield* peer.next("ready")
  yield* peer.next("relays")
  return { peer, call: ["initiate", ...use, "--peer", `${String(ready["real_pk"])}:${String(ready["dht_pk"])}`] }
})

describe("two c-toxcore peers through our relay", { timeout: 120_000 }, () => {
  it.live("C09: a flood of 20,000 packets arrives in order", () =>
    Effect.gen(function*() {
      const { relay, use } = yield* ourRelay
      const { call, peer } = yield* callee(use, "sink")
      yield* Reference.peer("ctoxpeer", [...call, "--app", "flood", "-n", String(packets), "-s", "1300"])
      const fin = yield* peer.next("sink_fin", "90 seconds")
      assert.deepInclude(fin, { expected: packets, received: packets, ok: true })
      yield* relay.signal("SIGTERM")
      assert.deepStrictEqual(yield* relay.ended(), { code: 0, signal: null })
    }))

  it.live("C09: lossless and lossy pings come back", () =>
    Effect.gen(function*() {
      const { use } = yield* ourRelay
      for (const kind of [[], ["--lossy"]]) {
        const { call } = yield* callee(use, "echo")
        const ping = yield* Reference.peer("ctoxpeer", [...call, "--app", "ping", "-n", "100", ...kind])
        assert.deepInclude(yield* ping.next("ping_done"), { n: 100, lost: 0 })
      }
    }))

  it.live("C09: OOB packets reach a client that asked for no connection", () =>
    Effect.gen(function*() {
      const { use } = yield* ourRelay
      const log = yield* Reference.peer("ctoxtcp", ["log", ...use])
      const { pk } = yield* log.next("ready")
      yield* log.next("relays")
      const from = yield* Reference.peer("ctoxtcp", ["idle", ...use, "--oob", "--peer", String(pk), "--control"])
      const sender = yield* from.next("ready")
      yield* from.next("relays")
      from.control("oob 0102030405")
      assert.deepInclude(yield* log.next("oob"), { from: sender["pk"], hex: "0102030405" })
    }))

  it.live("C11: after a new login with the same key, packets reach the new connection", () =>
    Effect.gen(function*() {
      const { use } = yield* ourRelay
      const old = yield* Reference.peer("ctoxtcp", ["log", ...use])
      const { pk, sk } = yield* old.next("ready")
      yield* old.next("relays")
      const fresh = yield* Reference.peer("ctoxtcp", ["log", ...use, "--sk", String(sk)])
      yield* fresh.next("relays")
      const from = yield* Reference.peer("ctoxtcp", ["idle", ...use, "--oob", "--peer", String(pk), "--control"])
      yield* from.next("relays")
      from.control("oob aabb")
      assert.deepInclude(yield* fresh.next("oob"), { hex: "AABB" })
    }))
})
