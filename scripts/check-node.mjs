/**
 * Refuses to go on under a Node that is older than `engines`. It runs before every npm script, so it must itself run on an old Node.
 */
import { readFileSync } from "node:fs"

const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"))
const wanted = manifest.engines.node.replace(">=", "")
const numbers = (version) => version.split(".").map(Number)
const [major, minor, patch] = numbers(process.versions.node)
const [wantedMajor, wantedMinor, wantedPatch] = numbers(wanted)
const isOld = (major - wantedMajor || minor - wantedMinor || patch - wantedPatch) < 0

if (isOld) {
  process.stderr.write(
    `Causeway needs Node ${wanted} or newer, this is ${process.version} (${process.execPath}). ` +
      `Run \`npm ci\`, which installs Node ${manifest.devDependencies.node} into node_modules, and start it as \`npm run ...\`.\n`
  )
  process.exit(1)
}
