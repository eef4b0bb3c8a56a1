/** `causeway ping`: round trips to a peer over the link in use, and through each relay that could carry it. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { toHex } from "../schema/Bytes.ts"
import { formatHostPort } from "../schema/RelayAddress.ts"
import type { Peer } from "../services/Causeway.ts"
import { Entropy } from "../services/Entropy.ts"
import type { NetCryptoPath } from "../services/NetCrypto.ts"
import type { ByteSession } from "../services/Session.ts"
import { CommandFailed } from "./failure.ts"
import * as NodeLayer from "./nodeLayer.ts"
import * as Output from "./output.ts"
import { sessionName } from "./pingSession.ts"
import { reach } from "./reach.ts"
import * as Relays from "./relays.ts"
import * as Tickets from "./tickets.ts"

export interface Input {
  readonly ticket: string
  readonly identity: Option.Option<string>
  readonly paths: NodeLayer.Paths
  readonly count: number
  readonly size: number
  readonly json: boolean
}

/** How long the peer may take to accept the session, or to answer one ping. */
const answerTimeout = "15 seconds"
/** How long the relays may take to answer. */
const probeTimeout = "5 seconds"
/** Between two pings, so that each is alone on its way. */
const interval = "100 millis"

const unanswered = Effect.fail(
  new CommandFailed({ detail: "the peer did not answer within 15 s; check that it runs `causeway listen`" })
)

/** Milliseconds until all of it has come back. */
const roundTrip = Effect.fnUntraced(function*(session: ByteSession, bytes: Uint8Array) {
  const clock = yield* Clock.Clock
  const begun = clock.monotonicTimeNanosUnsafe()
  yield* session.write(bytes)
  let at = 0
  while (at < bytes.length) {
    const chunks = yield* Effect.catchTag(session.read, "Done", () => unanswered)
    for (const chunk of chunks) {
      if (chunk.some((byte, i) => byte !== bytes[at + i])) {
        return yield* new CommandFailed({ detail: "the peer sent back other bytes; check what it is running" })
      }
      at += chunk.length
    }
  }
  return Number(clock.monotonicTimeNanosUnsafe() - begun) / 1e6
})

const quantile = (sorted: ReadonlyArray<number>, q: number): number =>
  Output.rounded(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0, 3)

/** Which way the sessions go now; undefined while there is no link. */
const wayOf = (peer: Peer): "direct" | "relayed" | undefined => {
  const link = peer.link()
  return link._tag === "Up" ? link.path : undefined
}

const described = { direct: "directly", relayed: "over relays" } as const

const describePath = (path: NetCryptoPath): string => {
  const time = path.roundTrip === undefined ? "no answer" : `${Output.rounded(path.roundTrip, 2)} ms`
  const carries = path.carries ? ", carries the data" : ""
  return `relay ${formatHostPort(path.relay)}: ${path.online ? time : "the peer is not online there"}${carries}`
}

export const run = (input: Input) =>
  Effect.gen(function*() {
    const output = Output.make({ json: input.json, events: "stdout" })
    const entropy = yield* Entropy
    const address = yield* Tickets.read(input.ticket)
    yield* Relays.hold(address.relays, output)
    const peer = yield* reach(address)
    const identityKey = toHex(peer.identityKey)
    const timeout = Effect.timeoutOrElse({ duration: answerTimeout, orElse: () => unanswered })
    const session = yield* timeout(peer.openBytes(sessionName))
    const times: Array<number> = []
    for (let sequence = 1; sequence <= input.count; sequence++) {
      if (sequence > 1) yield* Effect.sleep(interval)
      const ms = yield* timeout(roundTrip(session, entropy.bytes(input.size)))
      times.push(ms)
      const roundTripMs = Output.rounded(ms, 3)
      const way = wayOf(peer)
      yield* output.event(
        { event: "ping", sequence, size: input.size, roundTripMs, path: way ?? null },
        `${input.size} bytes and back, number ${sequence}: ${Output.rounded(ms, 2)} ms${
          way ? ` ${described[way]}` : ""
        }`
      )
    }
    const last = wayOf(peer)
    // Relays that sleep below a direct link may leave nothing to ask.
    const relays = yield* Effect.timeoutOption(peer.probe, probeTimeout)
    for (const found of Option.getOrElse(relays, () => [])) {
      const path = { ...found, carries: found.carries && last !== "direct" }
      const { carries, online } = path
      const roundTripMs = path.roundTrip === undefined ? null : Output.rounded(path.roundTrip, 3)
      yield* output.event(
        { event: "relay", relay: formatHostPort(path.relay), carries, online, roundTripMs },
        describePath(path)
      )
    }
    yield* session.end
    times.sort((a, b) => a - b)
    const [minMs, p50Ms, maxMs] = [quantile(times, 0), quantile(times, 0.5), quantile(times, 1)]
    yield* output.event(
      { event: "done", identityKey, path: last ?? null, count: times.length, minMs, p50Ms, maxMs },
      `${times.length} answered${
        last ? ` ${described[last]}` : ""
      }: fastest ${minMs} ms, median ${p50Ms} ms, slowest ${maxMs} ms`
    )
    yield* Effect.ignore(Effect.timeout(session.closed, "1 second"))
  }).pipe(Effect.scoped, Effect.provide(NodeLayer.layer(Option.getOrUndefined(input.identity), input.paths)))
