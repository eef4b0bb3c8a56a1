/**
 * The receiving end of a file transfer: one session's file, stored in a folder of this machine (`schema/FileMessage.ts`). It prints
 * nothing.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { FileHave, FileOffer, FileStart, FileStored } from "../schema/FileMessage.ts"
import type { SessionError } from "../services/SessionError.ts"
import * as Messages from "./fileMessages.ts"
import { partName, safeName } from "./fileName.ts"
import * as Reason from "./FileTransferError.ts"
import { type Chunks, copy } from "./nodeStreams.ts"
import * as PartClaims from "./partClaims.ts"
import * as PartFile from "./partFile.ts"
import { CommandCode } from "./sessionCode.ts"

/** How long a sender may take to hear that its file is stored. */
const farewellTimeout = "5 seconds"

/** A file that is about to be received. */
export interface Incoming {
  /** The name that it will get when that is free. */
  readonly name: string
  readonly size: number
  /** Bytes that are there from an earlier try. */
  readonly from: number
  /** Bytes that are there now. */
  readonly bytes: () => number
}

/** A file that is there. */
export interface Received {
  readonly name: string
  readonly size: number
  readonly sha256: Uint8Array
  /** It was there before and has not been sent again. */
  readonly already: boolean
}

export interface ReceiveOptions {
  readonly folder: string
  /** Shared by all sessions of the process. */
  readonly claims: PartClaims.PartClaims
  /** Run in the scope of the transfer. */
  readonly onIncoming: (incoming: Incoming) => Effect.Effect<void, never, Scope.Scope>
}

/**
 * Receives the session's file and stores it once its SHA-256 is the offered one. A failure resets the session, with the reason, and
 * keeps what has arrived for the next try.
 */
export const receiveFile = Effect.fn("receiveFile")(function*(
  session: Messages.FileSession,
  options: ReceiveOptions
): Effect.fn.Return<Received, Reason.FileTransferError | SessionError, Scope.Scope> {
  const { claims, folder, onIncoming } = options
  let name = "a file"
  let bytes = () => 0
  const reader = Messages.reader(session)

  const receive = Effect.fnUntraced(function*(offer: FileOffer) {
    const { sha256, size } = offer
    const there = yield* PartFile.find(folder, offer)
    if (there !== undefined) {
      yield* PartFile.discard(folder, offer)
      yield* Messages.send(session, FileStored, FileStored.make({ name: there, already: true }))
      return { name: there, size, sha256, already: true }
    }

    const part = yield* PartFile.begin(folder, offer)
    bytes = part.bytes
    yield* Messages.send(session, FileHave, FileHave.make({ bytes: bytes(), sha256: part.sha256() }))
    const { from } = yield* reader.next(FileStart)
    if (from === 0) yield* part.restart
    else if (from !== bytes()) return yield* new Reason.TransferViolation({ detail: "it began in another place" })
    yield* onIncoming({ name, size, from, bytes })
    const append = (chunks: Chunks): Effect.Effect<void, Reason.FileUnwritable | Reason.TransferViolation> => {
      const more = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
      return bytes() + more > size
        ? Effect.fail(new Reason.TransferViolation({ detail: "more bytes came than were offered" }))
        : part.append(chunks)
    }
    yield* copy(reader.bytes, append)
    if (bytes() < size) return yield* new Reason.FileIncomplete({ bytes: bytes(), size })
    const stored = yield* part.finish
    yield* Messages.send(session, FileStored, FileStored.make({ name: stored, already: false }))
    return { name: stored, size, sha256, already: false }
  })

  const transfer = Effect.gen(function*() {
    const offer = yield* reader.next(FileOffer)
    name = safeName(offer.name)
    const takenOver = yield* PartClaims.claim(claims, partName(name, offer.sha256), () => bytes())
    return yield* Effect.raceFirst(receive(offer), takenOver)
  }).pipe(Effect.scoped)

  const received = yield* transfer.pipe(
    Effect.catch((error): Effect.Effect<never, Reason.FileTransferError | SessionError> => {
      if (error._tag === "SessionError") return Effect.fail(explain(name, error))
      const failure = new Reason.FileTransferError({ file: name, reason: error })
      return Effect.andThen(session.reset(CommandCode.transferFailed, error.message), Effect.fail(failure))
    })
  )
  // The file is there, whether its sender hears of it or not.
  yield* session.end
  yield* Effect.ignore(Effect.timeoutOption(session.closed, farewellTimeout))
  return received
})

/** The sender says why it does not go on; the error of anything else that ended the session. */
const explain = (file: string, error: SessionError): Reason.FileTransferError | SessionError =>
  error.reason._tag === "SessionReset" && error.reason.byPeer && error.reason.code === CommandCode.transferFailed
    ? new Reason.FileTransferError({ file, reason: new Reason.PeerGaveUp({ detail: error.reason.detail }) })
    : error
