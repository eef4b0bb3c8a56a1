#!/usr/bin/env node
/**
 * The `causeway` command's entry point: checks what it runs on, then hands over to `cli/program.ts`. Nothing but node:* may be
 * imported statically here, or an old Node or a missing package would end in a stack trace before the checks.
 */
import { readFileSync } from "node:fs"
import { setFlagsFromString } from "node:v8"

interface Manifest {
  readonly version: string
  readonly engines: { readonly node: string }
}

/** Whether the dotted version `actual` is at least `wanted`. */
const isAtLeast = (actual: string, wanted: string): boolean => {
  const theirs = actual.split(".").map(Number)
  for (const [at, number] of wanted.split(".").map(Number).entries()) {
    const difference = (theirs[at] ?? 0) - number
    if (difference !== 0) return difference > 0
  }
  return true
}

const fail = (line: string): never => {
  process.stderr.write(`causeway: ${line}\n`)
  return process.exit(1)
}

/** The name of a package that could not be found, when that is what went wrong. */
const missingPackage = (cause: unknown): string | undefined =>
  cause instanceof Error && "code" in cause && cause.code === "ERR_MODULE_NOT_FOUND"
    ? /Cannot find package '([^']+)'/.exec(cause.message)?.[1]
    : undefined

const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as Manifest
const wanted = manifest.engines.node.replace(/^>=/, "")
if (!isAtLeast(process.versions.node, wanted)) {
  fail(`needs Node ${wanted} or newer, this is ${process.versions.node}; install a newer Node and run it again`)
}

// Packets live for milliseconds, so a larger nursery only costs memory: V8 would grow it to 64 MB or more on a large machine.
setFlagsFromString("--semi-space-growth-factor=1")

/** Until the command runs, which takes the signals over, there is nothing to drain: stopping is all there is to do. */
const stop = (): never => process.exit(0)
process.on("SIGINT", stop)
process.on("SIGTERM", stop)

import("./cli/program.ts").then(
  (program) => {
    program.run(manifest.version, process.argv.slice(2))
    process.off("SIGINT", stop)
    process.off("SIGTERM", stop)
  },
  (cause: unknown) => {
    const name = missingPackage(cause)
    if (name === undefined) throw cause
    fail(`the package ${name} is not installed; run: npm install ${name}`)
  }
)
