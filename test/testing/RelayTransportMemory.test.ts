import { it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { MemoryNetwork } from "../../src/testing/MemoryNetwork.ts"
import * as RelayTransportMemory from "../../src/testing/RelayTransportMemory.ts"
import { conformance, type TransportUnderTest } from "../layers/relayTransportConformance.ts"
import { type Address } from "../layers/transportUse.ts"

const silent = Effect.gen(function*() {
  const network = yield* MemoryNetwork
  const address = { host: "silent.test", port: 443 }
  network.conditions(address, { frozen: true })
  return address
})

const sendAndReset = (address: Address, bytes: Uint8Array) =>
  Effect.gen(function*() {
    const network = yield* MemoryNetwork
    const connection = yield* network.transport("127.0.0.9").connect(address)
    const [last] = network.connections().slice(-1)
    connection.write(bytes)
    // A zero-latency write arrives after a few turns of the scheduler.
    for (let turn = 0; turn < 5; turn++) yield* Effect.yieldNow
    last!.reset()
  }).pipe(Effect.scoped, Effect.orDie)

const common = { layer: RelayTransportMemory.layer, silent, sendAndReset }

const virtual: TransportUnderTest<MemoryNetwork> = {
  ...common,
  name: "RelayTransportMemory under TestClock",
  test: it.effect,
  elapse: (millis) => TestClock.adjust(millis)
}

const live: TransportUnderTest<MemoryNetwork> = {
  ...common,
  name: "RelayTransportMemory under the live clock",
  test: it.live,
  elapse: (millis) => Effect.sleep(millis)
}

conformance(virtual)
conformance(live)
