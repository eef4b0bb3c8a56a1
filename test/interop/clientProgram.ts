/**
 * Runs client programs such as `ab`, `ssh` and `psql`: one that is fed and waited for, or one that is talked with. Neither outlives the
 * test, every wait has a deadline, and what was printed is shown when it passes.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process"

export interface Program {
  readonly command: string
  readonly args: ReadonlyArray<string>
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>
}

/** What a program has printed, and how it ended. */
export interface Outcome {
  readonly code: number | null
  readonly stdout: Buffer
  readonly stderr: string
}

const launch = ({ args, command, env }: Program): ChildProcessWithoutNullStreams => {
  const child = spawn(command, args, { stdio: "pipe", env: { ...process.env, ...env } })
  // A program that ends before it has read everything is not the writer's failure.
  child.stdin.on("error", () => undefined)
  return child
}

const orDie = (what: string, within: Duration.Input, printed: () => string) =>
  Effect.timeoutOrElse({
    duration: within,
    orElse: () => {
      const limit = Duration.format(Duration.fromInputUnsafe(within))
      return Effect.die(new Error(`${what} within ${limit}. It printed:\n${printed()}`))
    }
  })

/** Feeds a program and waits for its end, whatever its exit code is. */
export const outcome = (program: Program, input: string | Buffer = "", within: Duration.Input = "60 seconds") =>
  Effect.suspend(() => {
    const stdout: Array<Buffer> = []
    const stderr: Array<Buffer> = []
    const text = (chunks: ReadonlyArray<Buffer>) => Buffer.concat(chunks).toString("utf8")
    return Effect.callback<Outcome>((resume) => {
      const child = launch(program)
      child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk))
      child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk))
      child.once("error", (cause) => resume(Effect.die(cause)))
      child.once(
        "close",
        (code) => resume(Effect.succeed({ code, stdout: Buffer.concat(stdout), stderr: text(stderr) }))
      )
      child.stdin.end(input)
      return Effect.sync(() => void child.kill("SIGKILL"))
    }).pipe(orDie(`${program.command} did not end`, within, () => text(stdout).slice(-2_000) + text(stderr)))
  })

/** As `outcome`, for a program that must succeed: what it printed on stdout. */
export const output = (program: Program, input: string | Buffer = "", within: Duration.Input = "60 seconds") =>
  Effect.flatMap(outcome(program, input, within), ({ code, stderr, stdout }) =>
    code === 0
      ? Effect.succeed(stdout)
      : Effect.die(
        new Error(`${program.command} ended with ${code}: ${stderr}${stdout.toString("utf8").slice(-2_000)}`)
      ))

export interface Dialogue {
  readonly say: (text: string) => Effect.Effect<void>
  /** Waits until the text appears behind what was heard before. Both output streams count. */
  readonly hear: (text: string, within?: Duration.Input) => Effect.Effect<void>
  /** Waits for its end; the exit code. */
  readonly ended: (within?: Duration.Input) => Effect.Effect<number | null>
}

/** Starts a program to talk with. The scope kills it. */
export const dialogue = Effect.fnUntraced(function*(program: Program) {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => launch(program)),
    (running) => Effect.sync(() => void running.kill("SIGKILL"))
  )
  let printed = ""
  let heard = 0
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      printed += text
    })
  }
  const closed = new Promise<number | null>((resolve, reject) => {
    child.once("close", resolve)
    child.once("error", reject)
  })
  closed.catch(() => undefined)
  const hears = (text: string): boolean => {
    const at = printed.indexOf(text, heard)
    if (at >= 0) heard = at + text.length
    return at >= 0
  }
  return {
    say: (text) => Effect.sync(() => void child.stdin.write(text)),
    hear: (text, within = "20 seconds") =>
      Effect.sync(() => hears(text)).pipe(
        Effect.delay("5 millis"),
        Effect.repeat({ until: (isHeard) => isHeard }),
        orDie(`${program.command} did not print ${JSON.stringify(text)}`, within, () => printed)
      ),
    ended: (within = "20 seconds") =>
      Effect.promise(() => closed).pipe(orDie(`${program.command} did not end`, within, () => printed))
  } satisfies Dialogue
})
