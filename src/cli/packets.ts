/**
 * `causeway packets`: one net_crypto connection after the other, each used in the chosen mode. It prints when connections begin and
 * end and what was measured; the modes themselves are in `packetModes.ts`.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { equalBytes, type PublicKey, toHex } from "../schema/Bytes.ts"
import type { RelayAddress } from "../schema/RelayAddress.ts"
import { Identity } from "../services/Identity.ts"
import { NetCrypto, type NetCryptoConnection } from "../services/NetCrypto.ts"
import type { NetCryptoError } from "../services/NetCryptoError.ts"
import { call } from "./call.ts"
import { CommandFailed, WrongUsage } from "./failure.ts"
import * as NodeLayer from "./nodeLayer.ts"
import * as Output from "./output.ts"
import * as Modes from "./packetModes.ts"
import * as Relays from "./relays.ts"
import { stampedSize } from "./testPayload.ts"

export interface Input extends Modes.Traffic {
  readonly mode: "flood" | "sink" | "echo" | "ping"
  readonly identity: string
  readonly relays: ReadonlyArray<RelayAddress>
  readonly peer: Option.Option<{ readonly identityKey: PublicKey; readonly dhtKey: PublicKey }>
  readonly once: boolean
  readonly json: boolean
}

/** How long unacknowledged packets are waited for when a signal ends the command. */
const drainTimeout = "2 seconds"
/** How long the sender of a finished flood is given to close, so that it gets our acknowledgements first. */
const farewellTimeout = "2 seconds"
/** Before a lost peer is called again. */
const reconnectPause = "250 millis"

const number = (value: number | undefined, digits: number): number | null =>
  value === undefined ? null : Output.rounded(value, digits)

const human = (result: Modes.Result): string => {
  const parts = [`${result.packets} packets`, result.inOrder ? "in order and complete" : "NOT in order or NOT complete"]
  if (result.megabytesPerSecond !== undefined) parts.push(`${result.megabytesPerSecond.toFixed(2)} MB/s`)
  if (result.p50 !== undefined) parts.push(`round trip p50 ${result.p50.toFixed(2)} ms`)
  if (result.p99 !== undefined) parts.push(`p99 ${result.p99.toFixed(2)} ms`)
  if (result.longestGap !== undefined) parts.push(`longest gap ${result.longestGap.toFixed(1)} ms`)
  return parts.join(", ")
}

const printDone = (output: Output.Output, input: Input, result: Modes.Result) =>
  Effect.gen(function*() {
    yield* output.event({
      event: "done",
      mode: input.mode,
      packets: result.packets,
      inOrder: result.inOrder,
      MBps: number(result.megabytesPerSecond, 3),
      p50Ms: number(result.p50, 3),
      p99Ms: number(result.p99, 3),
      longestGapMs: number(result.longestGap, 1)
    }, `${input.mode} done: ${human(result)}`)
    if (result.fine) return
    // Remembered for the end of a command that goes on until it is stopped.
    process.exitCode = 1
    if (input.once || input.mode === "ping") {
      return yield* new CommandFailed({
        detail: `packets were missing, doubled, damaged or out of order (${result.packets} arrived)`
      })
    }
  })

/** Uses one connection to its end. True when the command has nothing left to do. */
const use = (output: Output.Output, input: Input, connection: NetCryptoConnection) =>
  Effect.gen(function*() {
    switch (input.mode) {
      case "flood":
      case "ping": {
        const result = yield* Modes[input.mode](connection, input)
        yield* printDone(output, input, result)
        return true
      }
      case "sink":
      case "echo": {
        const receiver = yield* Modes.receive(connection, { lossy: input.lossy, echo: input.mode === "echo" })
        const next = Effect.tapError(receiver.next, (error) => {
          // Pings have no last packet: whoever sent them just closes.
          const result = receiver.soFar()
          return isFarewell(input, error) && result.packets > 0 ? printDone(output, input, result) : Effect.void
        })
        while (true) {
          const result = yield* next
          yield* printDone(output, input, result)
          if (!input.once) continue
          yield* Effect.timeoutOption(connection.closed, farewellTimeout)
          return true
        }
      }
    }
  }).pipe(
    Effect.onInterrupt(() => Effect.ignore(Effect.timeout(Effect.interruptible(connection.drained), drainTimeout)))
  )

/** The next connection: the peer's, called until it answers, or whoever calls. The scope closes it. */
const acquire = Effect.fnUntraced(function*(input: Input) {
  if (Option.isSome(input.peer)) return yield* call({ ...input.peer.value, relays: input.relays })
  const netCrypto = yield* NetCrypto
  return yield* Effect.acquireRelease(netCrypto.accept, (connection) => connection.close, { interruptible: true })
})

/** One connection from its beginning to its end. True when the command has nothing left to do. */
const round = Effect.fnUntraced(function*(output: Output.Output, input: Input) {
  const connection = yield* acquire(input)
  const identityKey = toHex(connection.identityKey)
  const dhtKey = toHex(connection.dhtKey)
  yield* output.event({ event: "connected", identityKey, dhtKey }, `connected ${identityKey}`)
  const lost = Effect.fnUntraced(function*(error: NetCryptoError) {
    const { _tag: reason } = error.reason
    yield* output.event({ event: "disconnected", identityKey, reason }, `disconnected: ${error.message}`)
    if (input.once && !isFarewell(input, error)) return yield* error
    return input.once
  })
  return yield* Effect.catchTag(use(output, input, connection), "NetCryptoError", lost)
}, Effect.scoped)

/** An echo serves whatever its peer wants; a peer that says goodbye got what it wanted. */
const isFarewell = (input: Input, error: NetCryptoError): boolean =>
  input.mode === "echo" && error.reason._tag === "PeerClosed"

const check = (input: Input): Effect.Effect<void, WrongUsage> => {
  if (input.mode !== "ping" || input.size >= stampedSize) return Effect.void
  return new WrongUsage({
    detail: `a ping of ${input.size} bytes has no room for its time: give --size ${stampedSize} or more`
  })
}

export const run = (input: Input) =>
  Effect.gen(function*() {
    yield* check(input)
    const output = Output.make({ json: input.json, events: "stdout" })
    yield* Effect.gen(function*() {
      const keys = yield* Identity
      const netCrypto = yield* NetCrypto
      const identityKey = toHex(keys.identity.publicKey)
      const dhtKey = toHex(keys.dht.publicKey)
      yield* Relays.hold(input.relays, output)
      yield* netCrypto.setAcceptPolicy((key) =>
        Option.isNone(input.peer) || equalBytes(key, input.peer.value.identityKey)
      )
      yield* output.event({ event: "ready", identityKey, dhtKey }, `ready as ${identityKey}:${dhtKey}`)
      while (!(yield* round(output, input))) yield* Effect.sleep(reconnectPause)
    }).pipe(Effect.scoped, Effect.provide(NodeLayer.netCrypto(input.identity)))
  })
