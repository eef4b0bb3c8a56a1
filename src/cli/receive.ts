/** `causeway receive`: prints a ticket and stores the files that peers send, in one folder. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { SessionCode } from "../protocol/session/sessionFault.ts"
import { type PublicKey, toHex } from "../schema/Bytes.ts"
import type { RelayAddress } from "../schema/RelayAddress.ts"
import type { Peer } from "../services/Causeway.ts"
import type { SessionOffer } from "../services/Session.ts"
import { CommandFailed } from "./failure.ts"
import * as NodeLayer from "./nodeLayer.ts"
import { detailOf } from "./nodeStreams.ts"
import * as Output from "./output.ts"
import * as PartClaims from "./partClaims.ts"
import { type Incoming, receiveFile } from "./receiveFile.ts"
import { fileSessionName } from "./send.ts"
import { announce, servePeers } from "./servePeers.ts"
import { CommandCode } from "./sessionCode.ts"
import * as TransferProgress from "./transferProgress.ts"

export interface Input {
  readonly identity: string
  readonly relays: ReadonlyArray<RelayAddress>
  readonly allow: ReadonlyArray<PublicKey>
  readonly paths: NodeLayer.Paths
  readonly dir: string
  readonly once: boolean
  readonly json: boolean
}

/** Files at a time, of all peers; each keeps one open. */
const maxTransfers = 64

/** Takes what peers send until the scope closes; `complete` is run when a peer has gone and all its files have arrived. */
export const receiveAll = Effect.fnUntraced(function*(
  output: Output.Output,
  folder: string,
  complete: Effect.Effect<void>
) {
  const progress = yield* TransferProgress.make(output, process.stderr)
  const claims = PartClaims.make()
  let running = 0

  const take = Effect.fnUntraced(function*(offer: SessionOffer, identityKey: string) {
    const { clear, show } = progress
    const onIncoming = ({ bytes, from, name, size }: Incoming) =>
      Effect.andThen(
        output.event({ event: "receiving", identityKey, name, size, from }),
        show({ name, size, done: bytes })
      )
    const session = yield* offer.bytes
    const { already, name, sha256, size } = yield* receiveFile(session, { claims, folder, onIncoming })
    yield* clear
    const said = already ? "was there already" : `${Output.humanBytes(size)} received`
    yield* output.event(
      { event: "received", identityKey, name, size, sha256: toHex(sha256), already },
      `${name}: ${said}, SHA-256 checked`
    )
  })

  const serve = (peer: Peer) => {
    const identityKey = toHex(peer.identityKey)
    let arrived = 0
    let failed = 0
    const handle = (offer: SessionOffer) => {
      if (offer.name !== fileSessionName) {
        return offer.refuse(CommandCode.unknownName, "only files are taken here, by causeway send")
      }
      if (running >= maxTransfers) return offer.refuse(SessionCode.busy, "too many files at a time")
      running++
      return take(offer, identityKey).pipe(
        Effect.tap(() => Effect.sync(() => void arrived++)),
        Effect.catch((error) => {
          failed++
          const record = { event: "notReceived", identityKey, reason: error.reason._tag, message: error.message }
          return Effect.andThen(progress.clear, output.event(record, error.message))
        }),
        Effect.ensuring(Effect.sync(() => void running--))
      )
    }
    return { handle, gone: Effect.suspend(() => arrived > 0 && failed === 0 ? complete : Effect.void) }
  }
  return yield* servePeers(output, serve)
})

/** The folder, which must be there and be one. */
const checkFolder = (dir: string): Effect.Effect<string, CommandFailed> => {
  const cannot = (detail: string) =>
    new CommandFailed({ detail: `files cannot be stored in ${Output.oneLine(dir)} (${detail}); check --dir` })
  return Effect.tryPromise({
    try: async () => {
      await fs.access(dir, fs.constants.W_OK)
      return (await fs.stat(dir)).isDirectory()
    },
    catch: (cause) => cannot(detailOf(cause))
  }).pipe(Effect.flatMap((isFolder) => isFolder ? Effect.succeed(path.resolve(dir)) : cannot("it is not a folder")))
}

export const run = (input: Input) =>
  Effect.gen(function*() {
    const output = Output.make({ json: input.json, events: "stdout" })
    const folder = yield* checkFolder(input.dir)
    yield* announce(output, input)
    const complete = yield* Deferred.make<void>()
    yield* Effect.raceFirst(
      receiveAll(output, folder, input.once ? Effect.asVoid(Deferred.succeed(complete, undefined)) : Effect.void),
      Deferred.await(complete)
    )
  }).pipe(Effect.scoped, Effect.provide(NodeLayer.layer(input.identity, input.paths)))
