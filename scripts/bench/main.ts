/**
 * `npm run bench`: measures this tree in one run and prints a table of results and goals (docs/benchmarks.md). Exit code 1 when a
 * goal was not met or a measurement failed, 2 for wrong usage. The figures belong to the machine; compare ratios.
 */
import * as Options from "./options.ts"
import { pairs } from "./pairs.ts"
import { heading, line, machine, type Row, writeJson } from "./report.ts"
import * as Rows from "./rows.ts"

const options = Options.parse(process.argv.slice(2))
if (typeof options === "string") {
  process.stderr.write(`${options}\n${Options.usage}`)
  process.exit(2)
}

const { cores, cpu, load, node } = machine()
console.log(`Node ${node}, ${cores} x ${cpu}, load average ${load.toFixed(1)}, packets of 1300 bytes\n\n${heading}`)

const rows: Array<Row> = []
/** Measures a group of rows and prints them; one that fails becomes a row that says so, and the others go on. */
const add = async (name: string, measure: () => Promise<ReadonlyArray<Row>>) => {
  const failed = (error: unknown): ReadonlyArray<Row> => [
    { name, value: undefined, unit: "", note: error instanceof Error ? error.message : String(error), failed: true }
  ]
  const measured = await measure().catch(failed)
  rows.push(...measured)
  for (const row of measured) console.log(line(row))
}

const { pairs: other } = options
if (other !== undefined) await add("comparison", () => pairs(options, other))
else {
  for (const name of options.only) {
    // Goodput brings the bound with it, measured in alternation.
    if (name === "bound" && options.only.includes("goodput")) continue
    await add(name, () => Rows[name](options))
  }
}

if (options.json !== undefined) writeJson(options.json, rows)
for (const { name, note, value } of rows) {
  if (value === undefined) console.error(`\nMISSING: ${name}: ${note ?? ""}`)
}
const unmet = rows.filter(({ goal }) => goal?.met === false)
for (const { goal, name } of unmet) console.error(`\nNOT MET: ${name}: ${goal?.text ?? ""}`)
process.exitCode = unmet.length > 0 || rows.some(({ failed }) => failed === true) ? 1 : 0
