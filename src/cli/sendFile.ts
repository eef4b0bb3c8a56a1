/**
 * The sending end of a file transfer: one file of this machine over one session (`schema/FileMessage.ts`). What the receiver has
 * from an earlier try is not sent again. It prints nothing.
 */
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import { createHash } from "node:crypto"
import { constants } from "node:fs"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { equalBytes } from "../schema/Bytes.ts"
import { FileAnswer, FileOffer, FileStart } from "../schema/FileMessage.ts"
import type { SessionError } from "../services/SessionError.ts"
import { drainOnInterrupt } from "./drain.ts"
import type { CommandFailed } from "./failure.ts"
import * as Messages from "./fileMessages.ts"
import * as Reason from "./FileTransferError.ts"
import { detailOf } from "./nodeStreams.ts"
import { hashFile } from "./partFile.ts"
import { CommandCode } from "./sessionCode.ts"

/** Bytes that are read from the file and handed to the session at once. */
const blockSize = 256 * 1024
/** Some of the operating system's flags keep a named pipe from being waited for. */
const nonBlocking = process.platform === "win32" ? 0 : constants.O_NONBLOCK
/** How long the receiver's side of a finished session is waited for. */
const farewellTimeout = "2 seconds"

/** An open regular file that may be sent, as it was when it was opened. */
export interface LocalFile {
  /** As the user wrote it. */
  readonly path: string
  readonly size: number
  readonly handle: fs.FileHandle
  /** Changes when somebody writes to the file. */
  readonly version: () => Effect.Effect<string, Reason.FileTransferError>
}

/** Where a transfer is. Bytes of the file: the receiver had the first `from`, and has `done` by now. */
export interface Progress {
  readonly stage: "hashing" | "sending"
  readonly from: number
  readonly done: number
}

/** How a file was sent. */
export interface Sent {
  /** The name under which the receiver has it. */
  readonly storedAs: string
  readonly sha256: Uint8Array
  /** Bytes that the receiver had before; the size of the file when it had all of it. */
  readonly from: number
  /** It was there before, complete. */
  readonly already: boolean
}

/** Opens a file for sending. The scope closes it. */
export const open = Effect.fnUntraced(function*(
  file: string
): Effect.fn.Return<LocalFile, Reason.FileTransferError, Scope.Scope> {
  const unreadable = (detail: string) =>
    new Reason.FileTransferError({ file, reason: new Reason.FileUnreadable({ detail }) })
  const attempt = <A>(body: () => Promise<A>) =>
    Effect.tryPromise({ try: body, catch: (cause) => unreadable(detailOf(cause)) })
  const handle = yield* Effect.acquireRelease(
    attempt(() => fs.open(file, constants.O_RDONLY | nonBlocking)),
    (handle) => Effect.ignore(Effect.tryPromise(() => handle.close()))
  )
  const stats = yield* attempt(() => handle.stat())
  if (!stats.isFile()) return yield* unreadable("it is not a regular file")
  return {
    path: file,
    size: stats.size,
    handle,
    version: () => Effect.map(attempt(() => handle.stat()), ({ mtimeMs, size }) => `${mtimeMs} ${size}`)
  }
})

/** The receiver says why it did not take a file; the error of anything else that ended the session. */
const explain = (file: string) => (error: SessionError): Reason.FileTransferError | SessionError => {
  const { reason } = error
  const isPeers = reason._tag === "SessionRefused" || (reason._tag === "SessionReset" && reason.byPeer)
  return isPeers && reason.code === CommandCode.transferFailed
    ? new Reason.FileTransferError({ file, reason: new Reason.PeerGaveUp({ detail: reason.detail }) })
    : error
}

/** Sends the bytes from `from` to the end. */
const sendContent = Effect.fnUntraced(function*(session: Messages.FileSession, file: LocalFile, from: number) {
  for (let position = from; position < file.size;) {
    const block = new Uint8Array(Math.min(blockSize, file.size - position))
    const { bytesRead } = yield* Effect.tryPromise({
      try: () => file.handle.read(block, 0, block.length, position),
      catch: (cause) => new Reason.FileUnreadable({ detail: detailOf(cause) })
    })
    if (bytesRead === 0) return yield* new Reason.FileChanged()
    yield* session.write(block.subarray(0, bytesRead))
    position += bytesRead
  }
})

/**
 * Sends a file and waits until the receiver has stored it with the same SHA-256. `onProgress` is called whenever something has
 * happened, often. A failure resets the session, with the reason.
 */
export const sendFile = Effect.fn("sendFile")(function*(
  openSession: Effect.Effect<Messages.FileSession, SessionError | CommandFailed, Scope.Scope>,
  file: LocalFile,
  onProgress: (progress: () => Progress) => void
): Effect.fn.Return<Sent, Reason.FileTransferError | SessionError | CommandFailed, Scope.Scope> {
  const failed = (reason: Reason.FileTransferReason) => new Reason.FileTransferError({ file: file.path, reason })
  const hashed = (size: number) =>
    Effect.gen(function*() {
      const hash = createHash("sha256")
      const counted = yield* hashFile(file.handle, hash, size).pipe(
        Effect.mapError(({ detail }) => new Reason.FileUnreadable({ detail }))
      )
      if (counted !== size) return yield* new Reason.FileChanged()
      return new Uint8Array(hash.digest())
    })

  const before = yield* file.version()
  onProgress(() => ({ stage: "hashing", from: 0, done: 0 }))
  const sha256 = yield* Effect.mapError(hashed(file.size), failed)
  const session = yield* Effect.catchTag(openSession, "SessionError", (error) => Effect.fail(explain(file.path)(error)))

  const transfer = Effect.gen(function*() {
    const reader = Messages.reader(session)
    const name = path.basename(path.resolve(file.path))
    const offer = FileOffer.make({ version: 1, name: Array.from(name).slice(0, 256).join(""), size: file.size, sha256 })
    yield* Messages.send(session, FileOffer, offer)
    const answer = yield* reader.next(FileAnswer)
    if (answer._tag === "FileStored") {
      if (!answer.already) return yield* new Reason.TransferViolation({ detail: "it was stored before it was sent" })
      yield* session.end
      return { storedAs: answer.name, sha256, from: file.size, already: true }
    }
    const isPrefix = answer.bytes <= file.size && equalBytes(yield* hashed(answer.bytes), answer.sha256)
    const from = isPrefix ? answer.bytes : 0
    yield* Messages.send(session, FileStart, FileStart.make({ from }))
    const { bytesOut } = session.stats()
    onProgress(() => ({
      stage: "sending",
      from,
      done: from + Math.max(0, session.stats().bytesDelivered - bytesOut)
    }))
    yield* sendContent(session, file, from)
    yield* session.end
    const verdict = yield* reader.next(FileAnswer)
    if (verdict._tag !== "FileStored") return yield* new Reason.TransferViolation({ detail: "an answer came twice" })
    return { storedAs: verdict.name, sha256, from, already: false }
  })

  const sent = yield* transfer.pipe(
    drainOnInterrupt(session),
    Effect.catch((error): Effect.Effect<never, Reason.FileTransferError | SessionError> => {
      if (error._tag === "SessionError") return Effect.fail(explain(file.path)(error))
      return Effect.andThen(session.reset(CommandCode.transferFailed, error.message), Effect.fail(failed(error)))
    }),
    Effect.catchTag("FileTransferError", (error) =>
      // A file that was written to meanwhile arrives with a wrong checksum, which only this side can explain.
      Effect.flatMap(
        file.version(),
        (after) => Effect.fail(after === before ? error : failed(new Reason.FileChanged()))
      ))
  )
  // The receiver may still wait for our last acknowledgement.
  yield* Effect.ignore(Effect.timeoutOption(
    Effect.andThen(Pull.catchDone(Effect.forever(session.read), () => Effect.void), session.closed),
    farewellTimeout
  ))
  return sent
})
