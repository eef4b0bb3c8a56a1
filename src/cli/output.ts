/**
 * What the command prints. Events are JSON objects, one a line, with `--json`, and sentences without; they go to stdout, except
 * where stdout carries a peer's bytes. Remarks about progress always go to stderr. Nothing secret is ever passed to this module.
 */
import * as Effect from "effect/Effect"

/** One line of machine-readable output; `event` says which kind it is. */
export type EventRecord = { readonly event: string } & Readonly<Record<string, unknown>>

/** The two ways of printing, chosen once per command. */
export interface Output {
  readonly json: boolean
  /** Prints an event: the record with `--json`, else the human line. Without a human line it is shown to programs only. */
  readonly event: (record: EventRecord, human?: string) => Effect.Effect<void>
  /** A remark for people who wait, on stderr. */
  readonly note: (text: string) => Effect.Effect<void>
}

/** A single line without control characters, whatever it was made from: messages may contain what a far side sent. */
export const oneLine = (text: string): string =>
  // oxlint-disable-next-line no-control-regex -- control characters are what it takes out
  text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ").replace(/ {2,}/g, " ").trim()

/** A number for people and for JSON: rounded, so that lines stay readable. */
export const rounded = (value: number, digits: number): number => Number(value.toFixed(digits))

/** `12.3 MB` and the like, in decimal units. */
export const humanBytes = (bytes: number): string => {
  if (bytes < 1_000) return `${bytes} B`
  if (bytes < 1_000_000) return `${(bytes / 1_000).toFixed(1)} kB`
  return bytes < 1_000_000_000 ? `${(bytes / 1_000_000).toFixed(1)} MB` : `${(bytes / 1_000_000_000).toFixed(2)} GB`
}

/** Builds the output of one command. `events` is where its events go. */
export const make = (options: { readonly json: boolean; readonly events: "stdout" | "stderr" }): Output => {
  const target = options.events === "stdout" ? process.stdout : process.stderr
  const write = (stream: NodeJS.WritableStream, line: string) =>
    Effect.sync(() => {
      stream.write(`${line}\n`)
    })
  return {
    json: options.json,
    event: (record, human) => {
      if (options.json) return write(target, JSON.stringify(record))
      return human === undefined ? Effect.void : write(target, human)
    },
    note: (text) =>
      write(
        process.stderr,
        options.json ? JSON.stringify({ event: "note", message: oneLine(text) }) : `causeway: ${oneLine(text)}`
      )
  }
}
