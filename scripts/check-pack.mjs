/**
 * Checks the package as a user gets it: builds, packs, installs the tarball into an empty project and imports it there. The main
 * entry and `./testing` must load beside `effect` alone, without `node:*` and without `@effect/platform-node`; so must `./node`, but with
 * `node:*`; the command must load once that peer is installed. The project lies in a temporary folder that is always removed.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const root = join(import.meta.dirname, "..")
const { devDependencies, name } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
const project = mkdtempSync(join(tmpdir(), "causeway-pack-"))

const say = (text) => process.stdout.write(`${text}\n`)
const fail = (text) => {
  throw new Error(text)
}
const run = (command, args, cwd, stdio = ["ignore", "pipe", "inherit"]) =>
  execFileSync(command, args, { cwd, encoding: "utf8", stdio })
const npmInstall = (...what) => run("npm", ["install", "--no-audit", "--no-fund", "--save-exact", ...what], project)

/**
 * Run in the installed project: imports the entries named on the command line and prints which of our own modules asked for a
 * module of Node or for platform-node.
 */
const probe = `
import { builtinModules, registerHooks } from "node:module"
const ours = "/node_modules/${name}/"
const asked = []
registerHooks({
  resolve(specifier, context, next) {
    const isNode = specifier.startsWith("node:") || builtinModules.includes(specifier.split("/")[0])
    const isPlatform = specifier.startsWith("@effect/platform-node")
    if (context.parentURL?.includes(ours) && (isNode || isPlatform)) {
      asked.push(context.parentURL.split(ours)[1] + " imports " + specifier)
    }
    return next(specifier, context)
  }
})
const exported = {}
for (const entry of process.argv.slice(2)) exported[entry] = Object.keys(await import(entry)).length
console.log(JSON.stringify({ asked, exported }))
`

/** Every name the entries export, seen by the compiler through the published declarations. */
const consumer = `
import * as main from "${name}"
import * as testing from "${name}/testing"
export const all = [main, testing]
`

const probeEntries = (...entries) => {
  const { asked, exported } = JSON.parse(run(process.execPath, ["probe.mjs", ...entries], project))
  for (const [entry, count] of Object.entries(exported)) {
    if (count === 0) fail(`${entry} exports nothing`)
    say(`${entry}: ${count} exports`)
  }
  return asked
}

const checkContents = (paths) => {
  const wanted = [
    "dist/index.js",
    "dist/index.d.ts",
    "dist/node.js",
    "dist/testing/index.js",
    "dist/main.js",
    "README.md",
    "LICENSE"
  ]
  for (const path of wanted) if (!paths.includes(path)) fail(`the package lacks ${path}`)
  const allowed = /^(dist\/|docs\/|package\.json$|README\.md$|ARCHITECTURE\.md$|CHANGELOG\.md$|LICENSE$)/u
  for (const path of paths) if (!allowed.test(path)) fail(`the package contains ${path}`)
  if (!readFileSync(join(root, "dist/main.js"), "utf8").startsWith("#!/usr/bin/env node\n")) {
    fail("dist/main.js lacks its shebang line")
  }
}

const checkInstalled = () => {
  const manifest = JSON.parse(readFileSync(join(project, "node_modules", name, "package.json"), "utf8"))
  const installed = { ...manifest.dependencies, ...manifest.optionalDependencies, ...manifest.peerDependencies }
  if ("node" in installed) fail("the package would install the npm package `node`")
  if (existsSync(join(project, "node_modules/@effect/platform-node"))) {
    fail("@effect/platform-node was installed without being asked for")
  }
}

const main = () => {
  run("npm", ["run", "build"], root, "inherit")
  const [packed] = JSON.parse(run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", project], root))
  checkContents(packed.files.map(({ path }) => path))
  say(`packed ${packed.filename}: ${packed.files.length} files, ${Math.round(packed.size / 1024)} KiB`)

  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "consumer", private: true, type: "module" }))
  writeFileSync(join(project, "probe.mjs"), probe)
  npmInstall(`effect@${devDependencies.effect}`, join(project, packed.filename))
  checkInstalled()
  const asked = probeEntries(name, `${name}/testing`)
  if (asked.length > 0) fail(`modules that must load anywhere need Node:\n${asked.join("\n")}`)

  writeFileSync(join(project, "consumer.ts"), consumer)
  const flags = ["--noEmit", "--strict", "--module", "NodeNext", "--target", "ES2023", "--types", ""]
  run(join(root, "node_modules/.bin/tsc"), [...flags, "consumer.ts"], project, "inherit")
  say("the declarations compile")

  const alone = spawnSync(join(project, "node_modules/.bin/causeway"), ["--help"], { cwd: project, encoding: "utf8" })
  if (alone.status !== 1 || !/^.*@effect\/platform-node.*\n$/u.test(alone.stderr)) {
    fail(
      `without its optional peer the command must say so in one line and end with 1, not ${alone.status}:\n${alone.stderr}`
    )
  }

  probeEntries(`${name}/node`)
  npmInstall(`@effect/platform-node@${devDependencies["@effect/platform-node"]}`)
  run(join(project, "node_modules/.bin/causeway"), ["--help"], project)
  say("the command starts")
}

try {
  main()
} catch (error) {
  process.stderr.write(`check:pack: ${error.message}\n${error.stdout ?? ""}`)
  process.exitCode = 1
} finally {
  rmSync(project, { recursive: true, force: true })
}
