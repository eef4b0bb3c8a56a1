import * as Schema from "effect/Schema"

/** There is no file at that path. */
export class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {}) {}

/** Something is at that path already. Identity files are never overwritten. */
export class Exists extends Schema.TaggedError<Exists>()("Exists", {}) {}

/** The operating system refused to open or read the file. */
export class Unreadable extends Schema.TaggedError<Unreadable>()("Unreadable", {
  /** Its own word for it, such as `EACCES`. */
  detail: Schema.String
}) {}

/** The operating system refused to create or write the file. */
export class Unwritable extends Schema.TaggedError<Unwritable>()("Unwritable", {
  /** Its own word for it, such as `ENOSPC`. */
  detail: Schema.String
}) {}

/** Others than the owner may read or change the file, so its keys may be known to them. */
export class TooOpen extends Schema.TaggedError<TooOpen>()("TooOpen", {
  /** The permission bits, such as `0o644`. */
  mode: Schema.Int
}) {}

/** The path names a symbolic link, which could be pointed at another file at any time. */
export class SymbolicLink extends Schema.TaggedError<SymbolicLink>()("SymbolicLink", {}) {}

/** The path names a directory, a device, a pipe or a socket. */
export class NotAFile extends Schema.TaggedError<NotAFile>()("NotAFile", {}) {}

/** The content is not an identity. */
export class Malformed extends Schema.TaggedError<Malformed>()("Malformed", {
  /** What is wrong, never what was read: that may be a secret. */
  detail: Schema.String
}) {}

/** Why an identity file could not be read or made. */
export const IdentityErrorReason = Schema.Union([
  NotFound,
  Exists,
  Unreadable,
  Unwritable,
  TooOpen,
  SymbolicLink,
  NotAFile,
  Malformed
])
export type IdentityErrorReason = typeof IdentityErrorReason.Type

/** A path as one word of a shell command line. */
const quoted = (path: string): string =>
  /^[\w@%+=:,./-]+$/.test(path) && !path.startsWith("-") ? path : `'${path.replaceAll("'", `'\\''`)}'`

const explain = (path: string, reason: IdentityErrorReason): string => {
  const file = quoted(path)
  switch (reason._tag) {
    case "NotFound":
      return `There is no identity file ${file}. Create one: causeway keygen --out ${file}`
    case "Exists":
      return `${file} exists already and an identity is never overwritten. Choose another name, or move it away first.`
    case "Unreadable":
      return `The identity file ${file} cannot be read (${reason.detail}). Check who owns it and its directory.`
    case "Unwritable":
      return `The identity file ${file} cannot be written (${reason.detail}). Check that its directory exists and is yours.`
    case "TooOpen": {
      const mode = reason.mode.toString(8).padStart(3, "0")
      return `Others can read or change the identity file ${file} (mode ${mode}). If you still trust it: chmod 600 ${file}`
    }
    case "SymbolicLink":
      return `${file} is a symbolic link. Give the path of the identity file itself.`
    case "NotAFile":
      return `${file} is not a regular file. Give the path of an identity file, or create one: causeway keygen --out FILE`
    case "Malformed":
      return `${file} is not an identity file: ${reason.detail}. Restore it, or create another: causeway keygen --out FILE`
  }
}

/** Why an identity file could not be loaded or created. The message says what happened and what to do about it. */
export class IdentityError extends Schema.TaggedError<IdentityError>()("IdentityError", {
  path: Schema.String,
  reason: IdentityErrorReason
}) {
  override get message(): string {
    return explain(this.path, this.reason)
  }
}
