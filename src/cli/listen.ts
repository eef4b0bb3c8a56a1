/**
 * `causeway listen`: prints a ticket and joins stdin and stdout with one peer at a time; others are told that it is busy. stdout
 * carries the peer's bytes only, so events go to stderr.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { type PublicKey, toHex } from "../schema/Bytes.ts"
import type { RelayAddress } from "../schema/RelayAddress.ts"
import { Causeway, type Peer } from "../services/Causeway.ts"
import type { ByteSession } from "../services/Session.ts"
import type { SessionError } from "../services/SessionError.ts"
import { SessionSettings } from "../services/SessionSettings.ts"
import { forwardName } from "./forwarded.ts"
import * as NodeLayer from "./nodeLayer.ts"
import * as Output from "./output.ts"
import { reportLinks } from "./pathReport.ts"
import * as Peers from "./peers.ts"
import * as PingSession from "./pingSession.ts"
import type { PipeError } from "./PipeError.ts"
import { pipeSession } from "./pipeSession.ts"
import { fileSessionName } from "./send.ts"
import { announce } from "./servePeers.ts"
import { CommandCode } from "./sessionCode.ts"

export interface Input {
  readonly identity: string
  readonly relays: ReadonlyArray<RelayAddress>
  readonly allow: ReadonlyArray<PublicKey>
  readonly paths: NodeLayer.Paths
  readonly once: boolean
  readonly json: boolean
}

/** How long a connected peer may take to open its session; nobody else is served meanwhile. */
const openTimeout = "10 seconds"
/** How long a lost peer keeps the place, milliseconds. */
const resumeTimeout = 30_000

/** Says that a peer is gone and why. `isLast`: the command ends with this error, which then has its own line for people. */
const reportLost = (output: Output.Output, peer: Peer, error: SessionError, isLast: boolean) => {
  const record = { event: "disconnected", identityKey: toHex(peer.identityKey), reason: error.reason._tag }
  return output.event(record, isLast ? undefined : `disconnected: ${error.message}`)
}

/** What the sessions of other commands are told, which nobody wants on stdout. */
const elsewhere: ReadonlyMap<string, string> = new Map([
  [fileSessionName, "files are taken by causeway receive"],
  [forwardName, "connections are taken by causeway listen --forward"]
])

/** The session to pipe. Pings that come before it are answered, for as long as the peer likes; other commands are turned away. */
const nextSession: (peer: Peer) => Effect.Effect<Option.Option<ByteSession>, SessionError, Scope.Scope> = Effect
  .fnUntraced(function*(peer) {
    let offer = yield* Effect.timeoutOption(peer.accept, openTimeout)
    while (Option.isSome(offer)) {
      const { name } = offer.value
      const advice = elsewhere.get(name)
      if (advice !== undefined) yield* offer.value.refuse(CommandCode.unknownName, advice)
      else if (name === PingSession.sessionName) {
        yield* Effect.forkScoped(Effect.ignore(PingSession.echo(offer.value)))
      } else break
      offer = yield* Effect.option(peer.accept)
    }
    return Option.isSome(offer) ? Option.some(yield* offer.value.bytes) : Option.none()
  })

/** Serves one peer to its end. True when it was served, false when it never opened a session. */
const serve = (output: Output.Output, input: Input, peer: Peer) =>
  Effect.gen(function*() {
    const opened = yield* nextSession(peer).pipe(
      Effect.catchTag("SessionError", (error) => Effect.as(reportLost(output, peer, error, false), Option.none()))
    )
    if (Option.isNone(opened)) return false
    yield* Effect.forkScoped(reportLinks(output, peer))
    yield* pipeSession(output, peer, opened.value, { emptyInput: "follows" }).pipe(
      Effect.catchTag("SessionError", (error) =>
        Effect.gen(function*() {
          yield* reportLost(output, peer, error, input.once)
          if (input.once) return yield* error
        }))
    )
    return true
  }).pipe(Effect.scoped)

/** Turns a second peer away. */
const refuse = Effect.fnUntraced(function*(output: Output.Output, peer: Peer) {
  const identityKey = toHex(peer.identityKey)
  yield* output.event({ event: "refused", identityKey, reason: "busy" }, `refused ${identityKey}: busy`)
  yield* peer.refuse("serving another peer")
})

const serveAll = Effect.fnUntraced(function*(
  output: Output.Output,
  input: Input
): Effect.fn.Return<void, SessionError | PipeError, Causeway> {
  const causeway = yield* Causeway
  const finished = yield* Deferred.make<void, SessionError | PipeError>()
  let busy = false
  const turn = Effect.fnUntraced(function*(peer: Peer) {
    if (busy) return yield* refuse(output, peer)
    busy = true
    yield* serve(output, input, peer).pipe(
      Effect.flatMap((done) => done && input.once ? Deferred.succeed(finished, undefined) : Effect.void),
      // A session that breaks ends the command only with --once; stdout that breaks always does.
      Effect.catch((error) => Deferred.fail(finished, error)),
      Effect.ensuring(Effect.sync(() => {
        busy = false
      }))
    )
  })
  yield* Effect.raceFirst(Deferred.await(finished), Peers.forEach(causeway, turn))
})

/** One peer has the whole command, so a lost one is not waited for as long as usual. */
const shortPatience = Effect.updateService(SessionSettings, (numbers) => ({ ...numbers, resumeTimeout }))

export const run = (input: Input) =>
  Effect.gen(function*() {
    const output = Output.make({ json: input.json, events: "stderr" })
    yield* announce(output, input)
    yield* serveAll(output, input)
  }).pipe(Effect.scoped, Effect.provide(NodeLayer.layer(input.identity, input.paths)), shortPatience)
