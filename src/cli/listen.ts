/**
 * `causeway listen`: prints a ticket and joins stdin and stdout with one peer at a time; others are told that it is busy. stdout
 * carries the peer's bytes only, so events go to stderr.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { equalBytes, type PublicKey, toHex } from "../schema/Bytes.ts"
import type { RelayAddress } from "../schema/RelayAddress.ts"
import { Identity } from "../services/Identity.ts"
import { NetCrypto, type NetCryptoConnection } from "../services/NetCrypto.ts"
import type { SessionError } from "../services/SessionError.ts"
import { Sessions } from "../services/Sessions.ts"
import * as NodeLayer from "./nodeLayer.ts"
import * as Output from "./output.ts"
import type { PipeError } from "./PipeError.ts"
import { pipeSession } from "./pipeSession.ts"
import * as Relays from "./relays.ts"
import * as Tickets from "./tickets.ts"

export interface Input {
  readonly identity: string
  readonly relays: ReadonlyArray<RelayAddress>
  readonly allow: ReadonlyArray<PublicKey>
  readonly once: boolean
  readonly json: boolean
}

/** How long a connected peer may take to open its session; nobody else is served meanwhile. */
const openTimeout = "10 seconds"

/** Says that a peer is gone and why. `isLast`: the command ends with this error, which then has its own line for people. */
const reportLost = (output: Output.Output, connection: NetCryptoConnection, error: SessionError, isLast: boolean) => {
  const record = { event: "disconnected", identityKey: toHex(connection.identityKey), reason: error.reason._tag }
  return output.event(record, isLast ? undefined : `disconnected: ${error.message}`)
}

/** Serves one peer to its end. True when it was served, false when it never opened a session. */
const serve = (output: Output.Output, input: Input, connection: NetCryptoConnection) =>
  Effect.gen(function*() {
    const sessions = yield* Sessions
    yield* Effect.addFinalizer(() => connection.close)
    const opened = yield* sessions.accept(connection).pipe(
      Effect.timeoutOption(openTimeout),
      Effect.catchTag("SessionError", (error) => Effect.as(reportLost(output, connection, error, false), undefined))
    )
    if (opened?._tag !== "Some") return false
    yield* pipeSession(output, connection, opened.value, { emptyInput: "follows" }).pipe(
      Effect.catchTag("SessionError", (error) =>
        Effect.gen(function*() {
          yield* reportLost(output, connection, error, input.once)
          if (input.once) return yield* error
        }))
    )
    return true
  }).pipe(Effect.scoped)

/** Turns a second peer away. */
const refuse = Effect.fnUntraced(function*(output: Output.Output, connection: NetCryptoConnection) {
  const sessions = yield* Sessions
  const identityKey = toHex(connection.identityKey)
  yield* output.event({ event: "refused", identityKey, reason: "busy" }, `refused ${identityKey}: busy`)
  yield* sessions.refuse(connection, "serving another peer").pipe(Effect.ensuring(connection.close))
})

const serveAll = Effect.fnUntraced(function*(
  output: Output.Output,
  input: Input
): Effect.fn.Return<void, SessionError | PipeError, NetCrypto | Sessions | Scope.Scope> {
  const netCrypto = yield* NetCrypto
  const finished = yield* Deferred.make<void, SessionError | PipeError>()
  let busy = false
  const take = Effect.gen(function*() {
    const connection = yield* netCrypto.accept
    if (busy) {
      yield* Effect.forkScoped(refuse(output, connection))
      return
    }
    busy = true
    const served = serve(output, input, connection).pipe(
      Effect.flatMap((done) => done && input.once ? Deferred.succeed(finished, undefined) : Effect.void),
      // A session that breaks ends the command only with --once; stdout that breaks always does.
      Effect.catch((error) => Deferred.fail(finished, error)),
      Effect.ensuring(Effect.sync(() => {
        busy = false
      }))
    )
    yield* Effect.forkScoped(served)
  })
  yield* Effect.raceFirst(Deferred.await(finished), Effect.forever(take))
})

export const run = (input: Input) =>
  Effect.gen(function*() {
    const output = Output.make({ json: input.json, events: "stderr" })
    const keys = yield* Identity
    const netCrypto = yield* NetCrypto
    const ticket = yield* Tickets.write(keys, input.relays)
    yield* Relays.hold(input.relays, output)
    yield* netCrypto.setAcceptPolicy((key) =>
      input.allow.length === 0 || input.allow.some((allowed) => equalBytes(allowed, key))
    )
    yield* output.event({ event: "ticket", ticket }, ticket)
    yield* serveAll(output, input)
  }).pipe(Effect.scoped, Effect.provide(NodeLayer.layer(input.identity)))
