/**
 * The reference programs against each other, without any code of ours: when this fails, no other test in this folder means much.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Reference from "./referencePrograms.ts"

describe("the reference programs", () => {
  it.live("carry 500 packets in order between two c-toxcore peers over two tox-bootstrapd relays", () =>
    Effect.gen(function*() {
      const relays = [yield* Reference.relay(21_101), yield* Reference.relay(21_102)]
      const use = relays.flatMap(({ address }) => ["--relay", address])
      const sink = yield* Reference.peer("ctoxpeer", ["accept", ...use, "--app", "sink"])
      const ready = yield* sink.next("ready")
      const target = ["--peer", `${String(ready["real_pk"])}:${String(ready["dht_pk"])}`]
      const flood = ["--app", "flood", "-n", "500", "-s", "1000"]
      yield* Reference.peer("ctoxpeer", ["initiate", ...use, ...target, ...flood])
      const done = yield* sink.next("sink_fin")
      assert.deepInclude(done, { expected: 500, received: 500, ok: true })
    }))

  it.live("come back with the same key after a kill", () =>
    Effect.gen(function*() {
      const relay = yield* Reference.relay(21_103)
      yield* relay.kill
      yield* relay.restart
      const peer = yield* Reference.peer("ctoxpeer", ["accept", "--relay", relay.address, "--app", "idle"])
      const status = yield* peer.next("relays")
      assert.strictEqual(status.event, "relays")
    }))
})
