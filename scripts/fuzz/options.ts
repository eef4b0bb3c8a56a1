/** The command line of the fuzzer. */
import { parseArgs } from "node:util"
import { loadTarget, type TargetName } from "./targets.ts"

export interface Options {
  readonly targets: ReadonlyArray<TargetName>
  /** Inputs for each target. */
  readonly runs: number
  readonly seed: number
  /** Hexadecimal: one input instead of random ones. */
  readonly input: string | undefined
}

const names = Object.keys(loadTarget) as ReadonlyArray<TargetName>

export const usage = `usage: node scripts/fuzz.ts [target...] [options]
  targets: ${names.join(", ")} (default all)
  --runs N     inputs for each target (default 100000)
  --seed S     the same inputs for the same seed (default 1)
  --input HEX  run this one input of one target again
`

/** Reads the arguments. A string is what is wrong with them. */
export const parse = (args: ReadonlyArray<string>): Options | string => {
  try {
    const { positionals, values } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        runs: { type: "string", default: "100000" },
        seed: { type: "string", default: "1" },
        input: { type: "string" }
      }
    })
    const unknown = positionals.find((name) => !names.some((known) => known === name))
    if (unknown !== undefined) return `there is no target ${unknown}`
    if (![values.runs, values.seed].every((text) => /^[1-9][0-9]{0,8}$/.test(text))) {
      return "runs and seeds are counted from 1"
    }
    const targets = positionals.length === 0 ? names : names.filter((name) => positionals.includes(name))
    if (values.input !== undefined) {
      if (!/^([0-9a-fA-F]{2})*$/.test(values.input)) return "an input is hexadecimal"
      if (targets.length !== 1) return "an input belongs to one target"
    }
    return { targets, runs: Number(values.runs), seed: Number(values.seed), input: values.input }
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
