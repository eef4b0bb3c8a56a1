/** Connecting to the relays a command was given, and telling which of them could not be reached, and why. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { formatHostPort, type RelayAddress } from "../schema/RelayAddress.ts"
import { ConnectionRegistry, type RelayStatus } from "../services/ConnectionRegistry.ts"
import { CommandFailed } from "./failure.ts"
import type { Output } from "./output.ts"

/** How long a command waits for its first relay. */
const firstRelayTimeout = "10 seconds"
/** After this time, relays that are not connected yet are worth a remark. */
const patience = "1500 millis"

const explain = (status: RelayStatus): string => {
  switch (status.state._tag) {
    case "Failed":
      return status.state.error.message
    case "Connecting":
    case "Handshaking":
      return `relay ${formatHostPort(status.relay)} has not answered yet`
    case "Confirmed":
    case "Sleeping":
      return `relay ${formatHostPort(status.relay)} is connected`
  }
}

const isReached = (status: RelayStatus): boolean => status.state._tag === "Confirmed"

/** What is wrong with each relay that is not reached. */
const complaints = Effect.fnUntraced(function*() {
  const registry = yield* ConnectionRegistry
  const statuses = yield* registry.relays
  return statuses.filter((status) => !isReached(status)).map(explain)
})

const remark = Effect.fnUntraced(function*(output: Output) {
  yield* Effect.sleep(patience)
  yield* Effect.forEach(yield* complaints(), output.note, { discard: true })
})

/**
 * Adds the relays and waits for the first of them. Fails when none could be reached in ten seconds, naming each one. Relays that
 * are still away by then stay wanted; a remark names them.
 */
export const hold = Effect.fnUntraced(function*(relays: ReadonlyArray<RelayAddress>, output: Output) {
  const registry = yield* ConnectionRegistry
  yield* Effect.forEach(relays, registry.addRelay, { discard: true })
  // Who watches a terminal learns what it is waiting for; a program gets its one line at the end.
  if (process.stderr.isTTY) yield* Effect.forkScoped(remark(output))
  const reached = yield* Effect.timeoutOption(registry.awaitRelay, firstRelayTimeout)
  if (Option.isNone(reached)) {
    const reasons = (yield* complaints()).join("; ")
    return yield* new CommandFailed({ detail: `no relay could be reached within 10 s: ${reasons}` })
  }
  if (!process.stderr.isTTY) yield* Effect.forkScoped(remark(output))
})
