/**
 * The processes of the benchmark, seen from the driver. Each runs one module, answers calls over Node's IPC channel, and is killed
 * at the latest when the driver ends, however that happens; a child whose channel closes also ends by itself.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import type { Request, Response } from "./childSide.ts"

/** One running process. */
export interface Child {
  readonly pid: number
  /** Calls one of the operations the process serves. Rejects when it fails, when the process ends, and after `timeout` ms. */
  readonly call: <A>(operation: string, input?: unknown, timeout?: number) => Promise<A>
  /** SIGKILL, and waits until the process is gone. Idempotent. */
  readonly kill: () => Promise<void>
}

const running = new Set<ChildProcess>()
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL")
})
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(130))

/** How long a call may take unless it says otherwise, milliseconds. */
const callTimeout = 30_000

interface Waiter {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

/** Starts `module` (a path) in a Node of its own. */
export const start = (
  module: string,
  args: ReadonlyArray<string> = [],
  environment: Readonly<Record<string, string>> = {}
): Child => {
  const child = spawn(process.execPath, [module, ...args], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
    env: { ...process.env, ...environment }
  })
  running.add(child)
  const waiters = new Map<number, Waiter>()
  let calls = 0
  let ended: string | undefined
  const end = (why: string) => {
    ended ??= why
    running.delete(child)
    for (const { reject } of waiters.values()) reject(new Error(ended))
    waiters.clear()
  }
  child.once("error", (error) => end(`${module} could not be started: ${error.message}`))
  child.once("exit", (code, signal) => end(`${module} ended with ${signal ?? `exit code ${code}`}`))
  child.on("message", (message) => {
    const response = message as Response
    const waiter = waiters.get(response.id)
    waiters.delete(response.id)
    if ("error" in response) waiter?.reject(new Error(response.error))
    else waiter?.resolve(response.value)
  })
  return {
    pid: child.pid ?? 0,
    call: <A>(operation: string, input?: unknown, timeout = callTimeout) => {
      if (ended !== undefined) return Promise.reject(new Error(ended))
      const id = ++calls
      const answer = new Promise<A>((resolve, reject) => {
        waiters.set(id, { resolve: (value) => resolve(value as A), reject })
      })
      child.send({ id, operation, input } satisfies Request)
      const timer = setTimeout(() => {
        waiters.get(id)?.reject(new Error(`${module} did not answer ${operation} in ${timeout} ms`))
        waiters.delete(id)
      }, timeout)
      return answer.finally(() => clearTimeout(timer))
    },
    kill: async () => {
      if (ended !== undefined) return
      const exited = once(child, "exit")
      child.kill("SIGKILL")
      await exited
    }
  }
}

/** Runs `body` and kills the children it collected, also when it fails. */
export const withChildren = async <A>(body: (add: <C extends Child>(child: C) => C) => Promise<A>): Promise<A> => {
  const children: Array<Child> = []
  try {
    return await body((child) => {
      children.push(child)
      return child
    })
  } finally {
    await Promise.all(children.map((child) => child.kill()))
  }
}

export const sleep = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, milliseconds)
  })
