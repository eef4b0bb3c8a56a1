/** The command line of the benchmark. */
import { parseArgs } from "node:util"

export const rowNames = ["bound", "goodput", "echo", "connect", "failover", "stock"] as const
export type RowName = (typeof rowNames)[number]

export interface Options {
  readonly quick: boolean
  /** The rows to measure; goodput always measures the bound as well, because its result is a ratio. */
  readonly only: ReadonlyArray<RowName>
  /** Where the results go as JSON. */
  readonly json: string | undefined
  /** Runs of a minute through tox-bootstrapd; undefined: one short run. */
  readonly stockTrials: number | undefined
  /** Another checkout to compare with instead. */
  readonly pairs: string | undefined
}

export const usage = `usage: npm run bench -- [options]
  --quick             fewer and shorter runs, for a first impression
  --only NAME         one group of rows, repeatable: ${rowNames.join(", ")}
  --json FILE         also write the results and every single measurement as JSON
  --stock-trials N    N runs of 60 s through tox-bootstrapd instead of one of 10 s
  --pairs FOLDER      compare goodput and echo with another checkout, which needs its node_modules
`

const isRowName = (text: string): text is RowName => rowNames.some((name) => name === text)

/** Reads the arguments. A string is what is wrong with them. */
export const parse = (args: ReadonlyArray<string>): Options | string => {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        quick: { type: "boolean", default: false },
        only: { type: "string", multiple: true, default: [] },
        json: { type: "string" },
        "stock-trials": { type: "string" },
        pairs: { type: "string" }
      }
    })
    const unknown = values.only.find((name) => !isRowName(name))
    if (unknown !== undefined) return `there is no row ${unknown}`
    const only = values.only.filter(isRowName)
    const trials = values["stock-trials"]
    if (trials !== undefined && !/^[1-9][0-9]?$/.test(trials)) return "--stock-trials takes a number from 1 to 99"
    return {
      quick: values.quick,
      only: only.length === 0 ? rowNames : only,
      json: values.json,
      stockTrials: trials === undefined ? undefined : Number(trials),
      pairs: values.pairs
    }
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
