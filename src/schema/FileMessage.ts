/**
 * What the two ends of a file transfer tell each other around the file's bytes. One file is one session of bytes:
 *
 * | Direction | What |
 * |---|---|
 * | sender to receiver | `FileOffer` |
 * | receiver to sender | `FileHave`, or `FileStored` when the file is there already |
 * | sender to receiver | `FileStart`, then the file's bytes from there to its end, then the end of the direction |
 * | receiver to sender | `FileStored`, then the end of the direction |
 *
 * Each message is a u32 little-endian length and that many bytes of JSON, 4,096 at most. Whoever cannot go on resets the session.
 */
import * as Schema from "effect/Schema"
import { bytesFromHex, FixedBytes, HexText } from "./Bytes.ts"

/** The largest message, in bytes of JSON. */
export const maxFileMessage = 4_096

/** SHA-256, written in hexadecimal. */
const Sha256 = HexText(32).pipe(Schema.decodeTo(FixedBytes(32), bytesFromHex))

/** A position or a size in bytes. */
const ByteCount = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }))

/** The file's name as the sender calls it, never trusted. Long enough for every file system. */
const FileName = Schema.String.check(Schema.isMaxLength(512))

/** The file that is to be sent. `sha256` is that of the whole file. */
export const FileOffer = Schema.TaggedStruct("FileOffer", {
  version: Schema.Literal(1),
  name: FileName,
  size: ByteCount,
  sha256: Sha256
})
export type FileOffer = typeof FileOffer.Type

/** How many of the file's first bytes the receiver has from an earlier try, and what it has: their SHA-256. */
export const FileHave = Schema.TaggedStruct("FileHave", { bytes: ByteCount, sha256: Sha256 })
export type FileHave = typeof FileHave.Type

/** Where the bytes that follow begin: after those that the receiver has when they are the file's, else at 0. */
export const FileStart = Schema.TaggedStruct("FileStart", { from: ByteCount })
export type FileStart = typeof FileStart.Type

/**
 * The file is complete, its SHA-256 is the one of the offer, and it is stored under `name`, which may differ from the offered one.
 * `already`: it was there before.
 */
export const FileStored = Schema.TaggedStruct("FileStored", { name: FileName, already: Schema.Boolean })
export type FileStored = typeof FileStored.Type

/** What answers an offer. */
export const FileAnswer = Schema.Union([FileHave, FileStored])
