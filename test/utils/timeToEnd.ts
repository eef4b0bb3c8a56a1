/**
 * How long a process takes to end, without the time in which it was ready to run and other processes had the processor: the time
 * limits of a command are not those of the machine that happens to test it. Linux only; elsewhere all time counts.
 */
import { readFileSync } from "node:fs"

/** How often it looks, and how much of the time between two looks counts, milliseconds. */
const interval = 5
const longestStep = 20

/** Milliseconds that the process has waited for a processor so far; undefined when it is gone. */
const waitedBy = (pid: number): number | undefined => {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[1]) / 1e6
  } catch {
    return undefined
  }
}

/** Milliseconds until `ended`; `wall` is all of the time. */
export const timeToEnd = async (
  pid: number,
  ended: Promise<unknown>
): Promise<{ readonly lived: number; readonly wall: number }> => {
  const started = performance.now()
  const before = waitedBy(pid) ?? 0
  let waited = before
  let lived = 0
  let seenAt = started
  let isOver = false
  const look = () => {
    const time = performance.now()
    lived += Math.min(time - seenAt, longestStep)
    seenAt = time
    waited = waitedBy(pid) ?? waited
  }
  const over = () => {
    isOver = true
  }
  void ended.then(over, over)
  while (!isOver) {
    await new Promise((next) => setTimeout(next, interval))
    look()
  }
  await ended
  return { lived: Math.max(0, lived - (waited - before)), wall: performance.now() - started }
}
