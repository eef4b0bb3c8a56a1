/**
 * How a command ends: the exit code of a cause, and the one line that says what happened and what to do. It prints nothing.
 */
import * as Cause from "effect/Cause"
import * as Config from "effect/Config"
import * as Exit from "effect/Exit"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import { oneLine } from "./output.ts"

/** The command could not do its work: exit code 1. The detail is the whole message. */
export class CommandFailed extends Schema.TaggedError<CommandFailed>()("CommandFailed", { detail: Schema.String }) {
  override get message(): string {
    return this.detail
  }
}

/** The arguments contradict each other or are malformed in a way that parsing cannot see: exit code 2. */
export class WrongUsage extends Schema.TaggedError<WrongUsage>()("WrongUsage", { detail: Schema.String }) {
  override readonly [Runtime.errorExitCode] = 2

  override get message(): string {
    return this.detail
  }
}

const isShowHelp = (error: unknown): error is Error =>
  error instanceof Error && "_tag" in error && error._tag === "ShowHelp"

/**
 * 0: done, or stopped by a signal while nothing had failed. 1: failed. 2: wrong usage, which includes no command at all and settings in the
 * environment that cannot be meant.
 */
export const exitCode = (exit: Exit.Exit<unknown, unknown>): number => {
  if (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)) return 0
  const error = Cause.squash(exit.cause)
  return isShowHelp(error) || error instanceof Config.ConfigError ? 2 : Runtime.getErrorExitCode(error)
}

/** The line for a cause; undefined when there is nothing to say: interrupted, or the parser has explained it already. */
export const describe = (cause: Cause.Cause<unknown>): string | undefined => {
  if (Cause.hasInterruptsOnly(cause)) return undefined
  const error = Cause.squash(cause)
  if (isShowHelp(error)) return undefined
  if (error instanceof Config.ConfigError) return `a setting is wrong: ${oneLine(error.cause.message)}`
  const message = oneLine(error instanceof Error ? error.message : String(error))
  return Cause.hasDies(cause) && !Cause.hasFails(cause)
    ? `this is a bug: ${message} (run it again with --log-level debug for the place)`
    : message
}
