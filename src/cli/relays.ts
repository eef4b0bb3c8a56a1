/** Connecting to the relays a command was given, and telling which of them could not be reached, and why. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { formatHostPort, type RelayAddress } from "../schema/RelayAddress.ts"
import { ConnectionRegistry, type RelayStatus } from "../services/ConnectionRegistry.ts"
import { CommandFailed } from "./failure.ts"
import type { Output } from "./output.ts"

/** How long a command waits for its first relay. */
const firstRelayTimeout = "10 seconds"
/** How long the other relays may take, once the first is there, and how often they are looked at. */
const settleTimeout = "1 second"
const settleStep = "10 millis"
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

/**
 * Waits until every relay has been reached or has failed, for a second at most. A peer learns of our relays by what it gets over each of
 * them, so a call that is made when only the first is there would rest on that one.
 */
export const settle = Effect.gen(function*() {
  const registry = yield* ConnectionRegistry
  const isUndecided = ({ state }: RelayStatus) => state._tag === "Connecting" || state._tag === "Handshaking"
  while ((yield* registry.relays).some(isUndecided)) yield* Effect.sleep(settleStep)
}).pipe(Effect.timeoutOption(settleTimeout), Effect.asVoid)

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
  yield* settle
  if (!process.stderr.isTTY) yield* Effect.forkScoped(remark(output))
})
