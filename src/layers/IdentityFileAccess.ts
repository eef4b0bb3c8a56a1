/**
 * Reads and creates small files that only their owner may see (reliability, local attacker). It knows nothing of what is in them
 * and never overwrites one.
 */
import * as Effect from "effect/Effect"
import { constants } from "node:fs"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as Reason from "../services/IdentityError.ts"

/** Several times the size of an identity file, bytes. Whatever is larger is something else and is not read. */
const largestFile = 4096

/** Permission bits that let anyone but the owner in. */
const othersMask = 0o077

/** Windows keeps no such bits and has no `O_NOFOLLOW`: there, the directory's access list protects the file. */
const hasModes = process.platform !== "win32"
const noFollow = hasModes ? constants.O_NOFOLLOW : 0
/** Opening a named pipe would wait for its other end. */
const nonBlocking = hasModes ? constants.O_NONBLOCK : 0

const codeOf = (cause: unknown): string =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : "unknown error"

const unreadable = (cause: unknown): Reason.IdentityErrorReason => {
  const code = codeOf(cause)
  switch (code) {
    case "ENOENT":
      return new Reason.NotFound()
    case "ELOOP":
      return new Reason.SymbolicLink()
    case "ENXIO":
      // A socket, which cannot be opened at all.
      return new Reason.NotAFile()
    default:
      return new Reason.Unreadable({ detail: code })
  }
}

const unwritable = (cause: unknown): Reason.IdentityErrorReason => {
  const code = codeOf(cause)
  return code === "EEXIST" ? new Reason.Exists() : new Reason.Unwritable({ detail: code })
}

const attempt = <A>(
  body: () => Promise<A>,
  explain: (cause: unknown) => Reason.IdentityErrorReason
): Effect.Effect<A, Reason.IdentityErrorReason> => Effect.tryPromise({ try: body, catch: explain })

const close = (handle: fs.FileHandle): Effect.Effect<void> => Effect.ignore(Effect.tryPromise(() => handle.close()))

/**
 * The content of a private file. All checks are made on the opened file, so that it cannot be exchanged between check and use.
 * The buffer belongs to the caller, who wipes it.
 */
export const read = (file: string): Effect.Effect<Buffer, Reason.IdentityErrorReason> =>
  Effect.acquireUseRelease(
    attempt(() => fs.open(file, constants.O_RDONLY | noFollow | nonBlocking), unreadable),
    Effect.fnUntraced(function*(handle) {
      const stat = yield* attempt(() => handle.stat(), unreadable)
      if (!stat.isFile()) return yield* new Reason.NotAFile()
      if (hasModes && (stat.mode & othersMask) !== 0) return yield* new Reason.TooOpen({ mode: stat.mode & 0o777 })
      if (stat.size > largestFile) {
        return yield* new Reason.Malformed({ detail: `it is larger than ${largestFile} bytes` })
      }
      const buffer = Buffer.allocUnsafeSlow(largestFile)
      const { bytesRead } = yield* attempt(() => handle.read(buffer, 0, largestFile, 0), unreadable)
      return buffer.subarray(0, bytesRead)
    }),
    close
  )

/** Writes `content` to a new file of mode 0600 and waits until it is on the disk. A file that cannot be finished is removed. */
const writeNew = (file: string, content: Uint8Array): Effect.Effect<void, Reason.IdentityErrorReason> => {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | noFollow
  return Effect.acquireUseRelease(
    attempt(() => fs.open(file, flags, 0o600), unwritable),
    (handle) =>
      attempt(async () => {
        // The umask may have taken bits away.
        await handle.chmod(0o600)
        await handle.writeFile(content)
        await handle.sync()
      }, unwritable).pipe(Effect.tapError(() => remove(file))),
    close
  )
}

const remove = (file: string): Effect.Effect<void> => Effect.ignore(Effect.tryPromise(() => fs.unlink(file)))

/** Makes a new name in `directory` survive a crash, where the file system lets directories be synchronised. */
const syncDirectory = (directory: string): Effect.Effect<void> =>
  Effect.ignore(
    Effect.acquireUseRelease(
      Effect.tryPromise(() => fs.open(directory, constants.O_RDONLY)),
      (handle) => Effect.tryPromise(() => handle.sync()),
      close
    )
  )

/** What `link` answers on file systems without hard links. */
const noHardLinks = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"])

/**
 * Creates a private file that is complete from the moment it appears, and fails with `Exists` when the name is taken by anything,
 * even by a dangling link. `unique` makes the temporary name beside it; it must not be guessable by others. The file is written
 * there and then linked, because a rename would replace what is at the name. Where the file system has no hard links it is written
 * in place, still exclusively.
 */
export const create = (
  file: string,
  unique: string,
  content: Uint8Array
): Effect.Effect<void, Reason.IdentityErrorReason> => {
  const directory = path.dirname(file)
  const temporary = path.join(directory, `.${path.basename(file)}.${unique}.tmp`)
  const publish = Effect.tryPromise({ try: () => fs.link(temporary, file), catch: (cause) => cause }).pipe(
    Effect.catch((cause) => noHardLinks.has(codeOf(cause)) ? writeNew(file, content) : Effect.fail(unwritable(cause)))
  )
  return writeNew(temporary, content).pipe(
    Effect.andThen(Effect.ensuring(publish, remove(temporary))),
    Effect.andThen(syncDirectory(directory)),
    // A few writes of a few bytes: finishing them is better than leaving a half of them.
    Effect.uninterruptible
  )
}
