/** The command line of the simulation. */
import { parseArgs } from "node:util"
import { plantedBugs } from "./plantedBugs.ts"

export interface Options {
  /** The first seed and how many. */
  readonly seed: number
  readonly seeds: number
  /** Whether the seeds that once failed are run first. */
  readonly withRegressions: boolean
  readonly jobs: number
  /** Print everything that happens; for one seed. */
  readonly trace: boolean
  /** Mistakes to plant and to find. */
  readonly bugs: ReadonlyArray<string>
}

export const usage = `usage: npm run simulate -- [options]
  --seeds N    how many worlds (default 100, with --seed 1)
  --seed S     the first of them (default 1, after those that once failed)
  --trace      print everything that happens, for one seed
  --jobs N     processes (default 2)
  --bug NAME   plant a mistake and look for it, or all: ${Object.keys(plantedBugs).join(", ")}
`

/** Reads the arguments. A string is what is wrong with them. */
export const parse = (args: ReadonlyArray<string>): Options | string => {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        seed: { type: "string" },
        seeds: { type: "string" },
        jobs: { type: "string", default: "2" },
        trace: { type: "boolean", default: false },
        bug: { type: "string", multiple: true, default: [] }
      }
    })
    const bugs = values.bug.includes("all") ? Object.keys(plantedBugs) : values.bug
    const unknown = bugs.find((name) => plantedBugs[name] === undefined)
    if (unknown !== undefined) return `there is no bug ${unknown}`
    const counts = [values.seed ?? "1", values.seeds ?? "1", values.jobs]
    if (!counts.every((text) => /^[1-9][0-9]{0,8}$/.test(text))) return "seeds and processes are counted from 1"
    return {
      seed: Number(values.seed ?? 1),
      seeds: Number(values.seeds ?? (values.seed === undefined ? (bugs.length > 0 ? 500 : 100) : 1)),
      withRegressions: values.seed === undefined && bugs.length === 0,
      jobs: Number(values.jobs),
      trace: values.trace,
      bugs
    }
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
