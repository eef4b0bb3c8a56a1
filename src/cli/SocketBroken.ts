import * as Schema from "effect/Schema"

/** A TCP connection ended before its end. */
export class SocketBroken extends Schema.TaggedError<SocketBroken>()("SocketBroken", {
  /** The operating system's own word for it, such as `ECONNRESET`. */
  detail: Schema.String
}) {
  override get message(): string {
    return `the TCP connection broke (${this.detail})`
  }
}
