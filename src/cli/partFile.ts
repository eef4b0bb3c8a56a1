/**
 * A file that is being received: `NAME.HASH.part` in its folder until the last byte has arrived and the SHA-256 is the one that was
 * offered, then, in one step, `NAME`. Nothing that exists is ever overwritten, no link is followed, and what an interrupted transfer
 * left is found again. It knows no session.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { createHash, type Hash } from "node:crypto"
import { constants, type Stats } from "node:fs"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { equalBytes } from "../schema/Bytes.ts"
import { numbered, partName, safeName } from "./fileName.ts"
import { FileDamaged, FileUnwritable } from "./FileTransferError.ts"
import { type Chunks, detailOf } from "./nodeStreams.ts"
import { humanBytes } from "./output.ts"

/** What is being received. */
export interface Wanted {
  /** As the sender calls it. */
  readonly name: string
  readonly size: number
  readonly sha256: Uint8Array
}

/** Numbers that are tried after a name that is taken. */
const maxNumber = 99
/** Bytes read at once when a file is hashed. */
const blockSize = 1024 * 1024
/** Windows has no such flag. */
const noFollow = process.platform === "win32" ? 0 : constants.O_NOFOLLOW
/** What `link` answers on file systems without hard links. */
const noHardLinks = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"])

const attempt = <A>(body: () => Promise<A>): Effect.Effect<A, FileUnwritable> =>
  Effect.tryPromise({ try: body, catch: (cause) => new FileUnwritable({ detail: detailOf(cause) }) })

const open = (file: string, flags: number): Effect.Effect<fs.FileHandle, FileUnwritable, Scope.Scope> =>
  Effect.acquireRelease(
    attempt(() => fs.open(file, flags | noFollow, 0o666)),
    (handle) => Effect.ignore(Effect.tryPromise(() => handle.close()))
  )

/** Adds the first `size` bytes of an open file to the hash, a block at a time. Answers how many there were. */
export const hashFile = (handle: fs.FileHandle, hash: Hash, size: number): Effect.Effect<number, FileUnwritable> =>
  Effect.gen(function*() {
    const block = new Uint8Array(Math.min(blockSize, Math.max(size, 1)))
    let position = 0
    while (position < size) {
      const length = Math.min(block.length, size - position)
      const { bytesRead } = yield* attempt(() => handle.read(block, 0, length, position))
      if (bytesRead === 0) break
      hash.update(block.subarray(0, bytesRead))
      position += bytesRead
    }
    return position
  })

const statOf = (file: string): Effect.Effect<Stats | undefined, FileUnwritable> =>
  Effect.tryPromise({ try: () => fs.lstat(file), catch: detailOf }).pipe(
    Effect.catch((detail) =>
      detail === "ENOENT" ? Effect.succeed(undefined) : Effect.fail(new FileUnwritable({ detail }))
    )
  )

/**
 * The name under which the folder has this very file already; undefined when it has not. Only files of the same size, under the
 * names that it could have been stored under, are read.
 */
export const find = Effect.fnUntraced(function*(
  folder: string,
  wanted: Wanted
): Effect.fn.Return<string | undefined, FileUnwritable> {
  for (let number = 0; number <= maxNumber; number++) {
    const name = numbered(safeName(wanted.name), number)
    const stats = yield* statOf(path.join(folder, name))
    if (stats === undefined) return undefined
    if (!stats.isFile() || stats.size !== wanted.size) continue
    const isSame = yield* Effect.scoped(Effect.gen(function*() {
      const hash = createHash("sha256")
      yield* hashFile(yield* open(path.join(folder, name), constants.O_RDONLY), hash, wanted.size)
      return equalBytes(hash.digest(), wanted.sha256)
    }))
    if (isSame) return name
  }
  return undefined
})

const partOf = (folder: string, wanted: Wanted): string =>
  path.join(folder, partName(safeName(wanted.name), wanted.sha256))

/** Removes what an earlier transfer may have left of a file that is there complete. */
export const discard = (folder: string, wanted: Wanted): Effect.Effect<void> =>
  Effect.ignore(attempt(() => fs.unlink(partOf(folder, wanted))))

/** Gives the finished file its name, which must be free; another one otherwise. */
const publish = Effect.fnUntraced(function*(part: string, name: string): Effect.fn.Return<string, FileUnwritable> {
  const folder = path.dirname(part)
  for (let number = 0; number <= maxNumber; number++) {
    const free = numbered(name, number)
    const file = path.join(folder, free)
    const failure = yield* Effect.tryPromise({ try: () => fs.link(part, file), catch: detailOf }).pipe(
      Effect.as(undefined),
      Effect.catch((detail) => Effect.succeed(detail))
    )
    if (failure === "EEXIST") continue
    if (failure === undefined) {
      yield* attempt(() => fs.unlink(part))
      return free
    }
    if (!noHardLinks.has(failure)) return yield* new FileUnwritable({ detail: failure })
    // Without hard links an empty file takes the name, and the rename replaces nothing but that.
    const taken = yield* Effect.exit(
      Effect.scoped(open(file, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL))
    )
    if (taken._tag === "Failure") continue
    yield* attempt(() => fs.rename(part, file))
    return free
  }
  return yield* new FileUnwritable({ detail: `${maxNumber + 1} files of that name are there already` })
})

/** The first `count` bytes of some chunks, and the others, none of which is empty. */
const splitAt = (
  chunks: ReadonlyArray<Uint8Array>,
  count: number
): readonly [ReadonlyArray<Uint8Array>, ReadonlyArray<Uint8Array>] => {
  const [before, after]: [Array<Uint8Array>, Array<Uint8Array>] = [[], []]
  let left = count
  for (const chunk of chunks) {
    const taken = Math.min(left, chunk.length)
    left -= taken
    if (taken > 0) before.push(chunk.subarray(0, taken))
    if (taken < chunk.length) after.push(chunk.subarray(taken))
  }
  return [before, after]
}

/** An unfinished file. */
export interface PartFile {
  /** Bytes that are there, and their SHA-256. */
  readonly bytes: () => number
  readonly sha256: () => Uint8Array
  /** Throws everything away. */
  readonly restart: Effect.Effect<void, FileUnwritable>
  /** Fails with `FileUnwritable`; what has been written stays. */
  readonly append: (chunks: Chunks) => Effect.Effect<void, FileUnwritable>
  /** Checks the whole, stores it, and answers with its name. A file that is not what was wanted is removed. */
  readonly finish: Effect.Effect<string, FileUnwritable | FileDamaged>
}

/** Opens what an earlier transfer left of this file, or begins it. The scope closes it and leaves it where it is. */
export const begin = Effect.fnUntraced(function*(
  folder: string,
  wanted: Wanted
): Effect.fn.Return<PartFile, FileUnwritable, Scope.Scope> {
  const name = safeName(wanted.name)
  const part = partOf(folder, wanted)
  const found = yield* statOf(part)
  // A second name means that it had been finished: writing would change the finished file.
  if (found !== undefined && (!found.isFile() || found.nlink !== 1)) yield* attempt(() => fs.unlink(part))
  const handle = yield* open(part, constants.O_RDWR | constants.O_CREAT)
  let hash = createHash("sha256")
  let bytes = 0
  const restart = Effect.gen(function*() {
    yield* attempt(() => handle.truncate(0))
    hash = createHash("sha256")
    bytes = 0
  })
  const { size } = yield* attempt(() => handle.stat())
  if (size > wanted.size) yield* restart
  else bytes = yield* hashFile(handle, hash, size)
  const { bavail, bsize } = yield* attempt(() => fs.statfs(folder))
  const missing = wanted.size - bytes - bavail * bsize
  if (missing > 0) return yield* new FileUnwritable({ detail: `${humanBytes(missing)} more than there is room for` })

  const append = Effect.fnUntraced(function*(chunks: Chunks) {
    let rest: ReadonlyArray<Uint8Array> = chunks
    while (rest.length > 0) {
      const { bytesWritten } = yield* attempt(() => handle.writev(rest, bytes))
      const [written, others] = splitAt(rest, bytesWritten)
      for (const chunk of written) hash.update(chunk)
      bytes += bytesWritten
      rest = others
    }
  })
  const finish = Effect.gen(function*() {
    if (bytes !== wanted.size || !equalBytes(hash.copy().digest(), wanted.sha256)) {
      yield* Effect.ignore(attempt(() => fs.unlink(part)))
      return yield* new FileDamaged()
    }
    yield* attempt(() => handle.sync())
    return yield* publish(part, name)
  })
  return {
    bytes: () => bytes,
    sha256: () => hash.copy().digest(),
    restart,
    append: (chunks) => Effect.uninterruptible(append(chunks)),
    finish: Effect.uninterruptible(finish)
  }
})
