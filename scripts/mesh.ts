/**
 * A static group of real processes for as long as one likes: `npm run mesh -- [MINUTES] [MEMBERS] [STREAMS] [SESSIONS]`. Streams break twice
 * a second in every process, and every five seconds a process is killed and started again. Ends with 1 when anything was lost without a
 * word, doubled, reordered or damaged. The test in `test/integration/mesh.test.ts` runs the same for a few seconds.
 */
import * as Effect from "effect/Effect"
import * as MeshRun from "../test/utils/meshRun.ts"

const usage = "usage: npm run mesh -- [MINUTES] [MEMBERS] [STREAMS] [SESSIONS]\n"
if (!process.argv.slice(2).every((text) => /^[0-9.]{1,6}$/.test(text) && Number(text) > 0)) {
  process.stderr.write(usage)
  process.exit(2)
}
const [minutes = 2, members = 3, parallelism = 4, sessions = 64] = process.argv.slice(2).map(Number)
const killInterval = 5_000

const result = await Effect.runPromise(Effect.scoped(MeshRun.run({
  members,
  parallelism,
  sessions,
  breakInterval: 500,
  kills: Math.max(1, Math.round(minutes * 60_000 / killInterval)),
  killInterval,
  log: (line) => void process.stdout.write(`${line}\n`)
})))
const { broken, messages, problems, restarted } = result
for (const problem of problems) process.stdout.write(`${problem}\n`)
process.stdout.write(
  `${messages} messages, ${broken} streams broken, ${restarted} processes killed, ${problems.length} problems\n`
)
process.exitCode = problems.length === 0 ? 0 : 1
