/** Rows of results, as a table for people and as JSON for programs. */
import { writeFileSync } from "node:fs"
import { cpus, loadavg } from "node:os"

export interface Row {
  readonly name: string
  /** Undefined: it could not be measured here; `note` says why. */
  readonly value: number | undefined
  readonly unit: string
  readonly goal?: { readonly text: string; readonly met: boolean }
  readonly note?: string
  /** The measurement itself went wrong, as opposed to something it needs being absent. */
  readonly failed?: boolean
  /** Every single measurement behind the value. */
  readonly samples?: ReadonlyArray<number>
}

export const atLeast = (goal: number, value: number, unit: string) => ({
  text: `>= ${goal} ${unit}`,
  met: value >= goal
})
export const below = (goal: number, value: number, unit: string) => ({ text: `< ${goal} ${unit}`, met: value < goal })

const digits = (value: number): string =>
  !Number.isFinite(value)
    ? "never"
    : value >= 100
    ? value.toFixed(0)
    : value >= 10
    ? value.toFixed(1)
    : value.toFixed(2)

const cells = (row: Row): ReadonlyArray<string> => [
  row.name,
  row.value === undefined ? "MISSING" : `${digits(row.value)} ${row.unit}`,
  row.goal === undefined ? "" : `${row.goal.text} ${row.goal.met ? "met" : "NOT MET"}`,
  row.note ?? ""
]

const width = [44, 16, 22] as const

/** One line of the table. */
export const line = (row: Row): string => {
  const [name = "", value = "", goal = "", note = ""] = cells(row)
  return `${name.padEnd(width[0])}${value.padStart(width[1])}   ${goal.padEnd(width[2])}${note}`.trimEnd()
}

export const heading = `${"row".padEnd(width[0])}${"result".padStart(width[1])}   ${"goal".padEnd(width[2])}note`

/** What the figures were measured on. */
export const machine = () => ({
  node: process.version,
  cpu: cpus()[0]?.model ?? "unknown",
  cores: cpus().length,
  /** Of the last minute, when the run began: other work on the machine shows in every figure. */
  load: loadavg()[0] ?? Number.NaN
})

const machineAtStart = machine()

export const writeJson = (file: string, rows: ReadonlyArray<Row>): void =>
  writeFileSync(file, `${JSON.stringify({ machine: machineAtStart, rows }, undefined, 2)}\n`)
