/** The command line of the benchmark. */
import { parseArgs } from "node:util"
import { type RelayKind, relayKinds } from "./failingRelays.ts"
import { type Fault, faults, type Traffic, traffics } from "./failover.ts"

export const rowNames = ["bound", "goodput", "echo", "connect", "failover", "sessions", "direct", "stock"] as const
export type RowName = (typeof rowNames)[number]

export interface Options {
  readonly quick: boolean
  /** The rows to measure; goodput always measures the bound as well, because its result is a ratio. */
  readonly only: ReadonlyArray<RowName>
  /** Where the results go as JSON. */
  readonly json: string | undefined
  /** Runs of a minute through tox-bootstrapd; undefined: one short run. */
  readonly stockTrials: number | undefined
  /** What failover measures. `outage`: all relays are down for a minute. */
  readonly fault: Fault | "outage"
  readonly relays: RelayKind
  readonly traffic: Traffic
  /** Undefined: as many as the fault usually gets. */
  readonly trials: number | undefined
  /** Another checkout to compare with instead. */
  readonly pairs: string | undefined
}

const faultNames = [...faults, "outage"] as const

export const usage = `usage: npm run bench -- [options]
  --quick             fewer and shorter runs, for a first impression
  --only NAME         one group of rows, repeatable: ${rowNames.join(", ")}
  --json FILE         also write the results and every single measurement as JSON
  --stock-trials N    N runs of 60 s through tox-bootstrapd instead of one of 10 s
  --fault NAME        what happens in failover: ${faultNames.join(", ")} (default kill)
  --relays KIND       to which relays: ${relayKinds.join(" or ")} (tox-bootstrapd); default ours
  --traffic KIND      during which traffic: ${traffics.join(" or ")} (1000 packets a second); default flood
  --trials N          how often
  --pairs FOLDER      compare goodput and echo with another checkout, which needs its node_modules
`

const isRowName = (text: string): text is RowName => rowNames.some((name) => name === text)

/** One of the names; the first without an argument. */
const choice = <A extends string>(option: string, names: ReadonlyArray<A>, text: string | undefined): A => {
  const found = text === undefined ? names[0] : names.find((name) => name === text)
  if (found === undefined) throw new Error(`${option} is one of ${names.join(", ")}`)
  return found
}

const count = (option: string, text: string | undefined, pattern: RegExp, range: string): number | undefined => {
  if (text !== undefined && !pattern.test(text)) throw new Error(`${option} takes a number from ${range}`)
  return text === undefined ? undefined : Number(text)
}

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
        fault: { type: "string" },
        relays: { type: "string" },
        traffic: { type: "string" },
        trials: { type: "string" },
        pairs: { type: "string" }
      }
    })
    const unknown = values.only.find((name) => !isRowName(name))
    if (unknown !== undefined) return `there is no row ${unknown}`
    const only = values.only.filter(isRowName)
    return {
      quick: values.quick,
      only: only.length === 0 ? rowNames : only,
      json: values.json,
      stockTrials: count("--stock-trials", values["stock-trials"], /^[1-9][0-9]?$/, "1 to 99"),
      fault: choice("--fault", faultNames, values.fault),
      relays: choice("--relays", relayKinds, values.relays),
      traffic: choice("--traffic", traffics, values.traffic),
      trials: count("--trials", values.trials, /^[1-9][0-9]{0,2}$/, "1 to 999"),
      pairs: values.pairs
    }
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
