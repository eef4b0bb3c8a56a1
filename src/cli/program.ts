/**
 * Runs the command: parses, keeps logs off stdout, turns the end into one line and an exit code, and sees to it that the process is
 * gone in time. What the commands do is elsewhere.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as CliConfig from "effect/cli/CliConfig"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import { root } from "./commands.ts"
import { describe, exitCode } from "./failure.ts"
import { oneLine } from "./output.ts"

/** From a signal to the end of the process at the latest, milliseconds; commands drain for 2 s of it. */
const stopTimeout = 2_800
/** How long the end waits for a reader of stdout or stderr that does not read, milliseconds. */
const flushTimeout = 500

const writeError = (line: string) =>
  Effect.sync(() => {
    process.stderr.write(`${line}\n`)
  })

/** Mistakes are one line each and a pointer to the help, on stderr; help that was asked for goes to stdout. */
const presenter: CliOutput.Presenter = {
  present: (event) => {
    switch (event._tag) {
      case "InvalidInvocation": {
        const [first] = event.errors
        const what = oneLine(first?.message ?? "wrong usage").replace(/\.$/, "")
        return writeError(`causeway: ${what}; see: ${event.commandPath.join(" ")} --help`)
      }
      case "Help":
        if (event.reason === "Requested") return CliOutput.defaultPresenter.present(event)
        return writeError(CliOutput.defaultFormatter({ colors: false }).formatHelpDoc(event.helpDoc))
      case "Version":
        return CliOutput.defaultPresenter.present(event)
    }
  }
}

const environment = Layer.mergeAll(
  NodeServices.layer,
  CliOutput.layerPresenter(presenter),
  CliConfig.layer({
    builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions, GlobalFlag.LogLevel]
  }),
  Logger.layer([Logger.withConsoleError(Logger.formatLogFmt)]),
  Layer.succeed(References.MinimumLogLevel, "Warn")
)

/** What became of stdout, as long as it can be written. */
let printError: NodeJS.ErrnoException | undefined

/** Says that what was printed is lost, as on a full disk. A reader that went away (`causeway ... | head`) has had enough. */
const reportPrintError = (): void => {
  if (printError === undefined || printError.code === "EPIPE") return
  process.exitCode = 1
  process.stderr.write(`causeway: what was to be printed could not be written: ${oneLine(printError.message)}\n`)
}

/** Ends the process when everything printed has been taken. The code may have been raised before by `process.exitCode`. */
const exit = (code: number): void => {
  // Of what is written last nobody is told in time, and the stream forgets it again.
  printError ??= process.stdout.errored ?? undefined
  if (code === 0) reportPrintError()
  const end = () => process.exit(code === 0 ? process.exitCode : code)
  // Plain timers here and below: they must fire even when the runtime that is being left no longer does.
  setTimeout(end, flushTimeout)
  process.stdout.write("", () => process.stderr.write("", end))
}

/** Parses `args` and runs the command to the end of the process. */
export const run = (version: string, args: ReadonlyArray<string>): void => {
  const json = args.includes("--json")
  // No reason for a stack trace.
  process.stdout.on("error", (error) => {
    printError ??= error
  })
  process.stderr.on("error", () => undefined)
  const onSignal = () => {
    setTimeout(() => process.exit(), stopTimeout).unref()
  }
  process.once("SIGINT", onSignal)
  process.once("SIGTERM", onSignal)

  Command.runWith(root, { version })(args).pipe(
    Effect.tapCause((cause) => {
      const message = describe(cause)
      if (message === undefined) return Effect.void
      const line = json ? JSON.stringify({ event: "failed", message }) : `causeway: ${message}`
      return Effect.andThen(writeError(line), Effect.logDebug(cause))
    }),
    Effect.provide(environment),
    NodeRuntime.runMain({
      disableErrorReporting: true,
      teardown: (result) => exit(exitCode(result))
    })
  )
}
