import * as Schema from "effect/Schema"

/** Standard input could not be read, or standard output could not be written. */
export class PipeError extends Schema.TaggedError<PipeError>()("PipeError", {
  stream: Schema.Literals(["stdin", "stdout"]),
  /** The operating system's own word for it, such as `EPIPE`. */
  detail: Schema.String
}) {
  override get message(): string {
    if (this.stream === "stdin") return `standard input could not be read (${this.detail})`
    return this.detail === "EPIPE"
      ? "nobody reads standard output any more (EPIPE); the peer's remaining bytes were not written"
      : `standard output could not be written (${this.detail}); the peer's remaining bytes were not written`
  }
}
