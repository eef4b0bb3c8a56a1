/**
 * How the demonstration shows its progress, on stderr: one line that is redrawn on a terminal, else a plain line now and then.
 */
import { humanBytes } from "./output.ts"
import * as ProgressLine from "./progressLine.ts"

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

/** A plain line a second, when samples come ten times a second. */
const samplesPerLine = 10

const partOf = (sample: Sample): number => sample.size === 0 ? 1 : sample.received / sample.size

/** One look as text, without the bar. */
export const describe = (sample: Sample): string => {
  const relays = sample.relayRates.map((rate) => rate === undefined ? "killed" : rate.toFixed(1))
  const done = ProgressLine.describe(partOf(sample), humanBytes(sample.received), sample.rate)
  return `${done}  (by relay: ${relays.join(", ")})`
}

/** Redraws one line on a terminal, and writes plain lines anywhere else. */
export const make = (stream: ProgressLine.Target): Progress => {
  const line = ProgressLine.make(stream, samplesPerLine)
  return {
    update: (sample) => line.draw(partOf(sample), describe(sample)),
    happened: line.happened,
    end: line.end
  }
}
