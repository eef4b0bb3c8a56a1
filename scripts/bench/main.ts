/**
 * `npm run bench`: measures this tree in one run and prints a table of results and goals (docs/benchmarks.md). Exit code 1 when a
 * goal was not met, 2 for wrong usage. The figures belong to the machine; compare ratios.
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

const { cores, cpu, node } = machine()
console.log(`Node ${node}, ${cores} x ${cpu}, packets of 1300 bytes\n\n${heading}`)

const rows: Array<Row> = []
const add = (measured: ReadonlyArray<Row>) => {
  rows.push(...measured)
  for (const row of measured) console.log(line(row))
}

if (options.pairs !== undefined) add(await pairs(options, options.pairs))
else {
  for (const name of options.only) {
    // Goodput brings the bound with it, measured in alternation.
    if (name === "bound" && options.only.includes("goodput")) continue
    add(await Rows[name](options))
  }
}

if (options.json !== undefined) writeJson(options.json, rows)
const missing = rows.filter(({ value }) => value === undefined)
for (const { name, note } of missing) console.error(`\nMISSING: ${name}: ${note ?? ""}`)
const failed = rows.filter(({ goal }) => goal?.met === false)
for (const { goal, name } of failed) console.error(`\nNOT MET: ${name}: ${goal?.text ?? ""}`)
process.exitCode = failed.length > 0 ? 1 : 0
