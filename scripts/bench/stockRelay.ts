/** Unmodified tox-bootstrapd processes, whose socket buffers are what the operating system gives them. */
import { execFile, execFileSync } from "node:child_process"
import { existsSync } from "node:fs"
import { delimiter, join } from "node:path"
import { promisify } from "node:util"

const root = join(import.meta.dirname, "../..")
const reference = join(root, "test/interop/reference")

/** Why there is no stock relay here; undefined when there is one. */
export const missing = (): string | undefined => {
  const onPath = (process.env["PATH"] ?? "").split(delimiter)
  if (!onPath.some((folder) => existsSync(join(folder, "tox-bootstrapd")))) return "tox-bootstrapd is not installed"
  try {
    execFileSync("sh", [join(reference, "build.sh")], { stdio: ["ignore", "ignore", "pipe"] })
    return undefined
  } catch {
    return "the reference programs cannot be built here (gcc, libtoxcore-dev)"
  }
}

const relayScript = join(reference, "relay.sh")
const env = { ...process.env, CTOX_RCVBUF: "0" }
const script = (command: string, ...args: ReadonlyArray<string>): string =>
  execFileSync("bash", [relayScript, command, ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], env })

export interface StockRelay {
  readonly address: string
  /** Does not wait, and does not block this process: it may be forwarding. */
  readonly signal: (signal: NodeJS.Signals) => void
  /** Starts it again, after it was killed, with the same port and key. */
  readonly restart: () => Promise<void>
  /** Idempotent. */
  readonly end: () => void
}

/** Starts one on a port below 32768, so that no outgoing connection can have taken it. It ends at the latest with this process. */
export const start = (port: number): StockRelay => {
  const folder = join(root, ".tmp/relays", String(port))
  const read = (printed: string) => JSON.parse(printed) as { readonly relay: string; readonly pid: number }
  let running = read(script("start", String(port), folder))
  const kill = () => script("kill", folder)
  process.once("exit", kill)
  return {
    address: running.relay,
    signal: (signal) => void process.kill(running.pid, signal),
    restart: async () => {
      await promisify(execFile)("bash", [relayScript, "kill", folder], { env })
      running = read((await promisify(execFile)("bash", [relayScript, "restart", folder], { env })).stdout)
    },
    end: () => {
      process.off("exit", kill)
      kill()
    }
  }
}
