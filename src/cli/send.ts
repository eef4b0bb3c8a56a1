/** `causeway send`: sends files to the peer of a ticket, which runs `causeway receive`. What is there already is not sent again. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { toHex } from "../schema/Bytes.ts"
import type { Peer } from "../services/Causeway.ts"
import type { SessionError } from "../services/SessionError.ts"
import { CommandFailed } from "./failure.ts"
import type { FileTransferError } from "./FileTransferError.ts"
import * as NodeLayer from "./nodeLayer.ts"
import * as Output from "./output.ts"
import { reportPaths } from "./pathReport.ts"
import { openBytes, reach } from "./reach.ts"
import * as Relays from "./relays.ts"
import * as SendFile from "./sendFile.ts"
import { CommandCode } from "./sessionCode.ts"
import * as Tickets from "./tickets.ts"
import * as TransferProgress from "./transferProgress.ts"

export interface Input {
  readonly ticket: string
  readonly files: ReadonlyArray<string>
  readonly identity: Option.Option<string>
  readonly paths: NodeLayer.Paths
  readonly json: boolean
}

/** The name of the sessions that carry files. */
export const fileSessionName = "file"

const describe = (file: SendFile.LocalFile, sent: SendFile.Sent): string => {
  const name = Output.oneLine(file.path)
  const as = `stored as ${Output.oneLine(sent.storedAs)}`
  if (sent.already) return `${name}: was there already with the same SHA-256, ${as}`
  const resumed = sent.from === 0 ? "" : ` (${Output.humanBytes(sent.from)} of it were there from an earlier try)`
  return `${name}: ${Output.humanBytes(file.size)} sent${resumed}, SHA-256 equal at both ends, ${as}`
}

/** Sends one file over a session of its own. */
const sendOne = Effect.fnUntraced(function*(
  output: Output.Output,
  peer: Peer,
  path: string
): Effect.fn.Return<number, FileTransferError | SessionError | CommandFailed, Scope.Scope> {
  const progress = yield* TransferProgress.make(output, process.stderr)
  const file = yield* SendFile.open(path)
  let look: () => SendFile.Progress = () => ({ stage: "hashing", from: 0, done: 0 })
  yield* progress.show({
    name: path,
    size: file.size,
    done: () => look().done,
    stage: () => look().stage === "hashing" ? "computing the SHA-256 of" : undefined
  })
  const session = openBytes(peer, fileSessionName, "causeway receive")
  const sent = yield* SendFile.sendFile(session, file, (now) => {
    look = now
  })
  yield* progress.clear
  const { already, from, storedAs } = sent
  const record = { event: "sent", file: path, storedAs, size: file.size, sha256: toHex(sent.sha256), from, already }
  yield* output.event(record, describe(file, sent))
  return already ? 0 : file.size - from
}, Effect.scoped)

/** Sends the files one after the other. One that cannot be sent does not keep the others from it. */
export const sendAll = Effect.fnUntraced(function*(
  output: Output.Output,
  peer: Peer,
  files: ReadonlyArray<string>
): Effect.fn.Return<void, FileTransferError | SessionError | CommandFailed> {
  const failures: Array<FileTransferError> = []
  let bytes = 0
  for (const path of files) {
    const failed = (error: FileTransferError) => {
      failures.push(error)
      const record = { event: "notSent", file: path, reason: error.reason._tag, message: error.message }
      return Effect.as(output.event(record, files.length === 1 ? undefined : error.message), 0)
    }
    bytes += yield* Effect.catchTag(sendOne(output, peer, path), "FileTransferError", failed)
  }
  const [first] = failures
  if (first !== undefined) {
    if (files.length === 1) return yield* first
    const names = failures.map((error) => error.file).join(", ")
    return yield* new CommandFailed({ detail: `${failures.length} of ${files.length} files were not sent: ${names}` })
  }
  yield* output.event({ event: "done", files: files.length, bytes })
})

export const run = (input: Input) =>
  Effect.gen(function*() {
    const output = Output.make({ json: input.json, events: "stdout" })
    const address = yield* Tickets.read(input.ticket)
    // A wrong path is noticed before anybody is called.
    yield* Effect.forEach(input.files, (file) => Effect.scoped(SendFile.open(file)), { discard: true })
    yield* Relays.hold(address.relays, output)
    const peer = yield* reach(address)
    const identityKey = toHex(peer.identityKey)
    yield* output.event({ event: "connected", identityKey }, `connected to ${identityKey}`)
    yield* Effect.forkScoped(reportPaths(output, peer))
    yield* sendAll(output, peer, input.files).pipe(
      Effect.catchTag("SessionError", (error) =>
        new CommandFailed({
          detail: error.reason._tag === "SessionRefused" && error.reason.code === CommandCode.unknownName
            ? `${error.message}; check that it runs causeway receive`
            : `${error.message}; what has arrived is kept: the same command again goes on there`
        }))
    )
  }).pipe(Effect.scoped, Effect.provide(NodeLayer.layer(Option.getOrUndefined(input.identity), input.paths)))
