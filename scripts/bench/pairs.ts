/**
 * Compares this tree with another checkout. The benchmark's own modules are copied into the other checkout, where their relative
 * imports find its sources and its packages: both sides are measured by the same code.
 */
import { cpSync, existsSync, rmSync } from "node:fs"
import { join, resolve } from "node:path"
import type { CryptoName } from "./boundCiphers.ts"
import { measureEcho } from "./echo.ts"
import { measureGoodput } from "./goodput.ts"
import { thisTree } from "./nodes.ts"
import type { Options } from "./options.ts"
import { atLeast, type Row } from "./report.ts"
import { repetitions, span } from "./rows.ts"
import { median } from "./statistics.ts"

/** What this tree reaches of the other one, at the least. */
const goal = 0.95

const other = (folder: string): string => {
  for (const needed of ["src/layers/NetCryptoLive.ts", "node_modules/effect"]) {
    if (!existsSync(join(folder, needed))) {
      throw new Error(
        `${folder} has no ${needed}. To prepare a commit: git worktree add FOLDER COMMIT, then ` +
          "ln -s \"$PWD/node_modules\" FOLDER/node_modules"
      )
    }
  }
  // As deep as scripts/bench, in a folder that git ignores.
  const copy = resolve(folder, ".tmp/bench")
  rmSync(copy, { recursive: true, force: true })
  cpSync(thisTree, copy, { recursive: true })
  return copy
}

const compare = async (
  name: string,
  rounds: number,
  measure: (tree: string) => Promise<number>,
  trees: readonly [string, string],
  ratioOf: (here: number, there: number) => number
): Promise<Row> => {
  const ratios: Array<number> = []
  for (let i = 0; i < rounds; i++) {
    const [here, there] = trees
    const reversed = i % 2 === 1
    const first = await measure(reversed ? there : here)
    const second = await measure(reversed ? here : there)
    ratios.push(reversed ? ratioOf(second, first) : ratioOf(first, second))
  }
  const value = median(ratios)
  return { name: `${name}, this tree / the other`, value, unit: "", samples: ratios, goal: atLeast(goal, value, "") }
}

export const pairs = async (options: Options, folder: string): Promise<ReadonlyArray<Row>> => {
  const copy = other(folder)
  const trees = [thisTree, copy] as const
  const rounds = repetitions(options)
  try {
    const rows: Array<Row> = []
    for (const crypto of ["native", "wasm"] satisfies ReadonlyArray<CryptoName>) {
      const rate = async (tree: string) => (await measureGoodput(crypto, span(options), { tree })).rate
      rows.push(await compare(`goodput, ${crypto}`, rounds, rate, trees, (here, there) => here / there))
    }
    const p50 = async (tree: string) => (await measureEcho("native", options.quick ? 1_000 : 4_000, tree)).p50
    // Above 1 is better in both rows, so a shorter round trip counts as more.
    rows.push(await compare("echo speed", rounds, p50, trees, (here, there) => there / here))
    return rows
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}
