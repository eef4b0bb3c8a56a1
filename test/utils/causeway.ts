/**
 * Runs the command as a child process, the way a user does, and waits for what it prints. Every process is killed when the test's
 * scope is left: `using causeway = new Causeway()`.
 */
import { type ChildProcess, spawn, type StdioOptions } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

export const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url))

/** How a process ended. */
export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export type Event = Readonly<Record<string, unknown>>

/** One running command. */
export class Run {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
  readonly #stdout: Array<Buffer> = []
  readonly #stderr: Array<Buffer> = []
  #waiting: Array<() => void> = []
  #end: Ended | undefined

  constructor(args: ReadonlyArray<string>, cwd: string, stdio: StdioOptions) {
    this.child = spawn(process.execPath, [main, ...args], { cwd, stdio })
    const failed = new Promise<never>((_, reject) => this.child.once("error", reject))
    const exited = once(this.child, "exit") as Promise<[Ended["code"], Ended["signal"]]>
    // Not the child's close event, which never comes after `disconnect`.
    const read = [this.child.stdout, this.child.stderr].map((stream) =>
      stream === null ? undefined : once(stream, "end")
    )
    this.ended = Promise.race([failed, Promise.all([exited, ...read])]).then(([[code, signal]]) => {
      this.#end = { code, signal }
      this.#wake()
      return this.#end
    })
    this.child.stdout?.on("data", (chunk: Buffer) => {
      this.#stdout.push(chunk)
      this.#wake()
    })
    this.child.stderr?.on("data", (chunk: Buffer) => {
      this.#stderr.push(chunk)
      this.#wake()
    })
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#stdout)
  }

  get stdout(): string {
    return this.bytes.toString("utf8")
  }

  get stderr(): string {
    return Buffer.concat(this.#stderr).toString("utf8")
  }

  /** The JSON events so far, from stdout or stderr. */
  events(from: "stdout" | "stderr" = "stdout"): ReadonlyArray<Event> {
    return this[from].split("\n").slice(0, -1).filter((line) => line !== "").map((line) => JSON.parse(line) as Event)
  }

  /** The first event of that name, as soon as it is there. */
  async event(name: string, from: "stdout" | "stderr" = "stdout"): Promise<Event> {
    const find = () => this.events(from).find((event) => event["event"] === name)
    await this.until(name, () => find() !== undefined)
    return find()!
  }

  /** Waits until something is true of what it has printed; fails when it ends before. */
  async until(what: string, condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.#end !== undefined) {
        throw new Error(`ended with ${JSON.stringify(this.#end)} before ${what}: ${this.stderr}`)
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}

/** Starts commands in a temporary folder of their own, and ends and removes all of it. */
export class Causeway implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "causeway-test-"))
  readonly #runs: Array<Run> = []

  /** Starts a command; stdin is a pipe unless told otherwise. */
  start(args: ReadonlyArray<string>, stdio: StdioOptions = ["pipe", "pipe", "pipe"]): Run {
    const run = new Run(args, this.folder, stdio)
    // A command that ends before it has read its stdin is not the test's failure.
    run.child.stdin?.on("error", () => undefined)
    this.#runs.push(run)
    return run
  }

  /** Runs a command without stdin to its end. */
  async run(...args: ReadonlyArray<string>): Promise<Run & Ended> {
    const run = this.start(args, ["ignore", "pipe", "pipe"])
    return Object.assign(run, await run.ended)
  }

  /** Starts a relay on a free port; `address` is what `--relay` takes. */
  async relay(): Promise<{ readonly run: Run; readonly address: string }> {
    const run = this.start(["relay", "--json", "--host", "127.0.0.1", "--port", "0"])
    const { addresses } = await run.event("listening")
    return { run, address: (addresses as ReadonlyArray<string>)[0]! }
  }

  [Symbol.dispose](): void {
    for (const run of this.#runs) run.child.kill("SIGKILL")
    rmSync(this.folder, { recursive: true, force: true })
  }
}
