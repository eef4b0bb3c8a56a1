import * as Schema from "effect/Schema"
import { oneLine } from "./output.ts"

/** The file to be sent cannot be read. */
export class FileUnreadable extends Schema.TaggedError<FileUnreadable>()("FileUnreadable", {
  /** The operating system's own word for it, such as `ENOENT`. */
  detail: Schema.String
}) {
  override get message(): string {
    return `cannot be read (${this.detail}); check the path, it must be a regular file`
  }
}

/** The file cannot be stored. */
export class FileUnwritable extends Schema.TaggedError<FileUnwritable>()("FileUnwritable", { detail: Schema.String }) {
  override get message(): string {
    return `cannot be stored (${this.detail}); make sure that the receiver's folder can be written and has room`
  }
}

/** The file is no longer what it was when its checksum was computed. */
export class FileChanged extends Schema.TaggedError<FileChanged>()("FileChanged", {}) {
  override get message(): string {
    return "changed while it was sent; send it again when nobody writes to it"
  }
}

/** All bytes arrived, and they are not those that the checksum was computed from. */
export class FileDamaged extends Schema.TaggedError<FileDamaged>()("FileDamaged", {}) {
  override get message(): string {
    return "arrived with another SHA-256 than it was offered with and was thrown away; send it again"
  }
}

/** The sender ended before the last byte. What has arrived is kept. */
export class FileIncomplete extends Schema.TaggedError<FileIncomplete>()("FileIncomplete", {
  bytes: Schema.Int,
  size: Schema.Int
}) {
  override get message(): string {
    return `ended after ${this.bytes} of ${this.size} bytes; what has arrived is kept, sending it again goes on there`
  }
}

/** The same file is being received at this moment, through another session. */
export class FileInTransfer extends Schema.TaggedError<FileInTransfer>()("FileInTransfer", {}) {
  override get message(): string {
    return "is being received already; try again later"
  }
}

/** It stood still, and the same file has begun to come through another session. */
export class FileTakenOver extends Schema.TaggedError<FileTakenOver>()("FileTakenOver", {}) {
  override get message(): string {
    return "stood still and is being sent again by another transfer, which goes on with it"
  }
}

/** The other side could not go on. */
export class PeerGaveUp extends Schema.TaggedError<PeerGaveUp>()("PeerGaveUp", {
  /** Its own words. Not trusted: shown, never acted on. */
  detail: Schema.String
}) {
  override get message(): string {
    return `was not transferred, the other side says: ${oneLine(this.detail)}`
  }
}

/** The other side said something that does not belong into a file transfer. */
export class TransferViolation extends Schema.TaggedError<TransferViolation>()("TransferViolation", {
  detail: Schema.String
}) {
  override get message(): string {
    return `was not transferred: ${this.detail}; check that both sides run a current version`
  }
}

export const FileTransferReason = Schema.Union([
  FileUnreadable,
  FileUnwritable,
  FileChanged,
  FileDamaged,
  FileIncomplete,
  FileInTransfer,
  FileTakenOver,
  PeerGaveUp,
  TransferViolation
])
export type FileTransferReason = typeof FileTransferReason.Type

/** Why a file did not get to the other side. */
export class FileTransferError extends Schema.TaggedError<FileTransferError>()("FileTransferError", {
  /** The file as this side calls it. */
  file: Schema.String,
  reason: FileTransferReason
}) {
  override get message(): string {
    return `${oneLine(this.file)} ${this.reason.message}`
  }
}
