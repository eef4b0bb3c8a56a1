/**
 * One line of progress with a bar, redrawn on a terminal; anywhere else a plain line now and then, or none. It knows nothing of what
 * makes the progress.
 */

/** What is written to: stderr. A terminal says how wide it is; a longer line could not be redrawn. */
export interface Target {
  readonly write: (text: string) => unknown
  readonly isTTY?: boolean
  readonly columns?: number
}

export interface ProgressLine {
  /** `part` is what is done of the whole, 0 to 1; `text` is a single line. */
  readonly draw: (part: number, text: string) => void
  /** Something that happened; stays on the screen. */
  readonly happened: (text: string) => void
  /** Clears the redrawn line. */
  readonly end: () => void
}

const barWidth = 16

const bar = (part: number): string => {
  const filled = Math.floor(part * barWidth)
  return `[${"#".repeat(filled)}${".".repeat(barWidth - filled)}]`
}

/** `plainEvery`: without a terminal, every so manieth drawing is a line of its own; 0 writes none. */
export const make = (stream: Target, plainEvery: number): ProgressLine => {
  const isTerminal = stream.isTTY === true
  let drawn = 0
  const clear = isTerminal ? "\r\u001b[2K" : ""
  return {
    draw: (part, text) => {
      if (isTerminal) stream.write(clear + `${bar(part)} ${text}`.slice(0, (stream.columns ?? 80) - 1))
      else if (plainEvery > 0 && drawn++ % plainEvery === 0) stream.write(`${text}\n`)
    },
    happened: (text) => {
      stream.write(`${clear}${text}\n`)
    },
    end: () => {
      if (clear !== "") stream.write(clear)
    }
  }
}

/** `42 %  12.3 MB  4.5 MB/s`; the rate is megabytes per second. */
export const describe = (part: number, amount: string, rate: number): string =>
  `${String(Math.floor(part * 100 + 1e-9)).padStart(3)} %  ${amount}  ${rate.toFixed(1)} MB/s`
