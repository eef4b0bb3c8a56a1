/**
 * The receiving end of a file transfer: one session's file, stored in a folder of this machine (`schema/FileMessage.ts`). It prints
 * nothing.
 */
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import { FileHave, FileOffer, FileStart, FileStored } from "../schema/FileMessage.ts"
import type { SessionError } from "../services/SessionError.ts"
import * as Messages from "./fileMessages.ts"
import { partName, safeName } from "./fileName.ts"
import * as Reason from "./FileTransferError.ts"
import type { Chunks } from "./nodeStreams.ts"
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
  /** Unfinished files that are being written to; shared by all sessions of the process. */
  readonly inUse: Set<string>
  /** Run in the scope of the transfer. */
  readonly onIncoming: (incoming: Incoming) => Effect.Effect<void, never, Scope.Scope>
}

/** Keeps every other session of this process from writing to the same unfinished file. */
const claim = (inUse: Set<string>, part: string): Effect.Effect<void, Reason.FileInTransfer, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.suspend(() => {
      if (inUse.has(part)) return new Reason.FileInTransfer()
      inUse.add(part)
      return Effect.void
    }),
    () => Effect.sync(() => inUse.delete(part))
  )

/**
 * Receives the session's file and stores it once its SHA-256 is the offered one. A failure resets the session, with the reason, and
 * keeps what has arrived for the next try.
 */
export const receiveFile = Effect.fn("receiveFile")(function*(
  session: Messages.FileSession,
  options: ReceiveOptions
): Effect.fn.Return<Received, Reason.FileTransferError | SessionError, Scope.Scope> {
  const { folder, inUse, onIncoming } = options
  let name = "a file"
  const transfer = Effect.gen(function*() {
    const reader = Messages.reader(session)
    const offer = yield* reader.next(FileOffer)
    const { sha256, size } = offer
    name = safeName(offer.name)
    yield* claim(inUse, partName(name, sha256))
    const there = yield* PartFile.find(folder, offer)
    if (there !== undefined) {
      yield* PartFile.discard(folder, offer)
      yield* Messages.send(session, FileStored, FileStored.make({ name: there, already: true }))
      return { name: there, size, sha256, already: true }
    }

    const part = yield* PartFile.begin(folder, offer)
    yield* Messages.send(session, FileHave, FileHave.make({ bytes: part.bytes(), sha256: part.sha256() }))
    const { from } = yield* reader.next(FileStart)
    if (from === 0) yield* part.restart
    else if (from !== part.bytes()) return yield* new Reason.TransferViolation({ detail: "it began in another place" })
    yield* onIncoming({ name, size, from, bytes: part.bytes })
    const append = (chunks: Chunks): Effect.Effect<void, Reason.FileUnwritable | Reason.TransferViolation> => {
      const more = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
      return part.bytes() + more > size
        ? Effect.fail(new Reason.TransferViolation({ detail: "more bytes came than were offered" }))
        : part.append(chunks)
    }
    yield* reader.bytes.pipe(Effect.flatMap(append), Effect.forever, Pull.catchDone(() => Effect.void))
    if (part.bytes() < size) return yield* new Reason.FileIncomplete({ bytes: part.bytes(), size })
    const stored = yield* part.finish
    yield* Messages.send(session, FileStored, FileStored.make({ name: stored, already: false }))
    return { name: stored, size, sha256, already: false }
  })

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
