/**
 * How the demonstration shows its progress, on stderr: one line that is redrawn on a terminal, else a plain line now and then.
 */
import { humanBytes } from "./output.ts"

/** What one look at the transfer saw. */
export interface Sample {
  readonly received: number
  readonly size: number
  /** Megabytes per second now: in all, and through each relay; undefined for a relay that was killed. */
  readonly rate: number
  readonly relayRates: ReadonlyArray<number | undefined>
}

/** Where progress goes. */
export interface Progress {
  readonly update: (sample: Sample) => void
  /** Something that happened; stays on the screen. */
  readonly happened: (text: string) => void
  /** Clears the redrawn line. */
  readonly end: () => void
}

const barWidth = 16
/** A plain line a second, when samples come ten times a second. */
const samplesPerLine = 10

const percent = (sample: Sample): number => sample.size === 0 ? 100 : Math.floor(sample.received * 100 / sample.size)

/** One look as text, without the bar. */
export const describe = (sample: Sample): string => {
  const relays = sample.relayRates.map((rate) => rate === undefined ? "killed" : rate.toFixed(1))
  const done = `${String(percent(sample)).padStart(3)} %  ${humanBytes(sample.received)}`
  return `${done}  ${sample.rate.toFixed(1)} MB/s  (by relay: ${relays.join(", ")})`
}

const bar = (sample: Sample): string => {
  const filled = sample.size === 0 ? barWidth : Math.floor(sample.received * barWidth / sample.size)
  return `[${"#".repeat(filled)}${".".repeat(barWidth - filled)}]`
}

/** What is written to: stderr. A terminal says how wide it is; a longer line could not be redrawn. */
export interface Target {
  readonly write: (text: string) => unknown
  readonly isTTY?: boolean
  readonly columns?: number
}

/** Redraws one line on a terminal, and writes plain lines anywhere else. */
export const make = (stream: Target): Progress => {
  const isTerminal = stream.isTTY === true
  let samples = 0
  const clear = isTerminal ? "\r\u001b[2K" : ""
  return {
    update: (sample) => {
      if (isTerminal) stream.write(clear + `${bar(sample)} ${describe(sample)}`.slice(0, (stream.columns ?? 80) - 1))
      else if (samples++ % samplesPerLine === 0) stream.write(`${describe(sample)}\n`)
    },
    happened: (text) => {
      stream.write(`${clear}${text}\n`)
    },
    end: () => {
      stream.write(clear)
    }
  }
}
