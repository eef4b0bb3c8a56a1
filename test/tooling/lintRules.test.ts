/**
 * The house rules that the linter holds, each proved by a file that breaks it and by a neighbour that does not.
 * The files live in a temporary folder beside a copy of the configuration, so the repository itself stays clean.
 */
import { assert, describe, it } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

const root = Path.resolve(import.meta.dirname, "../..")

/** Title, file, content, and the rule that must refuse it. */
const refused: ReadonlyArray<readonly [title: string, file: string, content: string, rule: string]> = [
  ["schema imports protocol", "src/schema/a.ts", `export * from "../protocol/ok.ts"\n`, "no-restricted-imports"],
  ["schema imports services", "src/schema/b.ts", `export * from "../services/ok.ts"\n`, "no-restricted-imports"],
  [
    "schema imports a type of protocol",
    "src/schema/c.ts",
    `export type { Ok } from "../protocol/ok.ts"\n`,
    "no-restricted-imports"
  ],
  ["protocol imports services", "src/protocol/a.ts", `export * from "../services/ok.ts"\n`, "no-restricted-imports"],
  [
    "protocol imports a type of services",
    "src/protocol/b.ts",
    `import type { Ok } from "../services/ok.ts"\nexport const a: Ok = 1\n`,
    "no-restricted-imports"
  ],
  ["protocol imports layers", "src/protocol/c.ts", `export * from "../layers/ok.ts"\n`, "no-restricted-imports"],
  [
    "a nested protocol folder imports layers",
    "src/protocol/deep/a.ts",
    `export * from "../../layers/ok.ts"\n`,
    "no-restricted-imports"
  ],
  ["services import layers", "src/services/a.ts", `export * from "../layers/ok.ts"\n`, "no-restricted-imports"],
  [
    "services import a value of protocol",
    "src/services/b.ts",
    `export * from "../protocol/ok.ts"\n`,
    "no-restricted-imports"
  ],
  ["layers import cli", "src/layers/a.ts", `export * from "../cli/ok.ts"\n`, "no-restricted-imports"],
  ["layers import testing", "src/layers/b.ts", `export * from "../testing/ok.ts"\n`, "no-restricted-imports"],
  ["layers import the entry point", "src/layers/c.ts", `export * from "../index.ts"\n`, "no-restricted-imports"],
  [
    "a nested folder imports the entry point",
    "src/protocol/deep/b.ts",
    `export * from "../../index.ts"\n`,
    "no-restricted-imports"
  ],
  ["the node entry point imports cli", "src/node.ts", `export * from "./cli/ok.ts"\n`, "no-restricted-imports"],
  [
    "protocol imports a part of node",
    "src/protocol/i.ts",
    `import * as Fs from "fs/promises"\nexport const fs = Fs\n`,
    "prefer-node-protocol"
  ],
  ["the entry point imports cli", "src/index.ts", `export * from "./cli/ok.ts"\n`, "no-restricted-imports"],
  ["testing imports cli", "src/testing/a.ts", `export * from "../cli/ok.ts"\n`, "no-restricted-imports"],
  ["testing imports node:net", "src/testing/b.ts", `export * from "node:net"\n`, "no-restricted-imports"],
  ["layers import the effect barrel", "src/layers/d.ts", `export { Effect } from "effect"\n`, "no-restricted-imports"],
  [
    "layers import types of the effect barrel",
    "src/layers/e.ts",
    `export type { Effect } from "effect"\n`,
    "no-restricted-imports"
  ],
  [
    "layers import a nested barrel",
    "src/layers/f.ts",
    `export { Socket } from "effect/socket"\n`,
    "no-restricted-imports"
  ],
  [
    "cli imports the platform barrel",
    "src/cli/a.ts",
    `export { NodeRuntime } from "@effect/platform-node"\n`,
    "no-restricted-imports"
  ],
  ["schema imports node:buffer", "src/schema/d.ts", `export * from "node:buffer"\n`, "no-restricted-imports"],
  ["protocol imports libsodium", "src/protocol/d.ts", `export * from "libsodium-wrappers"\n`, "no-restricted-imports"],
  ["services import sodium-native", "src/services/c.ts", `export * from "sodium-native"\n`, "no-restricted-imports"],
  [
    "services import platform-node",
    "src/services/d.ts",
    `export * from "@effect/platform-node/NodeSocket"\n`,
    "no-restricted-imports"
  ],
  ["the wall clock", "src/protocol/e.ts", "export const a = () => Date.now()\n", "no-restricted-properties"],
  ["a date", "src/protocol/f.ts", "export const a = () => new Date()\n", "no-restricted-globals"],
  ["performance", "src/protocol/g.ts", "export const a = () => performance.now()\n", "no-restricted-globals"],
  [
    "setTimeout",
    "src/services/e.ts",
    "export const a = (f: () => void) => setTimeout(f, 1)\n",
    "no-restricted-globals"
  ],
  [
    "setInterval",
    "src/testing/c.ts",
    "export const a = (f: () => void) => setInterval(f, 1)\n",
    "no-restricted-globals"
  ],
  ["setImmediate", "src/schema/e.ts", "export const a = (f: () => void) => setImmediate(f)\n", "no-restricted-globals"],
  [
    "a timer through globalThis",
    "src/schema/f.ts",
    "export const a = (f: () => void) => globalThis.setTimeout(f, 1)\n",
    "no-restricted-"
  ],
  ["Math.random", "src/protocol/h.ts", "export const a = () => Math.random()\n", "no-restricted-properties"],
  ["process", "src/services/f.ts", "export const a = () => process.pid\n", "no-restricted-globals"],
  ["console", "src/layers/g.ts", "console.log(1)\n", "no-console"],
  ["any", "src/layers/h.ts", "export const a = (b: any) => b\n", "no-explicit-any"],
  ["a silenced compiler", "src/layers/i.ts", "// @ts-ignore because\nexport const a: string = 1\n", "ban-ts-comment"],
  ["a note to self", "src/layers/j.ts", "// TODO: later\nexport const a = 1\n", "no-warning-comments"],
  [
    "a type imported as a value",
    "src/layers/k.ts",
    `import { Ok } from "../services/ok.ts"\nexport const a: Ok = 1\n`,
    "consistent-type-imports"
  ],
  [
    "a file over 300 lines",
    "src/layers/l.ts",
    Array.from({ length: 301 }, (_, i) => `export const a${i} = ${i}\n`).join(""),
    "max-lines"
  ],
  ["a cycle", "src/layers/m.ts", `import { n } from "./n.ts"\nexport const m = () => n\n`, "no-cycle"],
  ["a focused test", "test/a.test.ts", `import { it } from "vitest"\nit.only("a", () => {})\n`, "no-focused-tests"],
  [
    "a focused effect test",
    "test/c.test.ts",
    `import { it } from "@effect/vitest"\nexport const only = it.effect.only\n`,
    "no-restricted-properties"
  ],
  [
    "a skipped effect test",
    "test/d.test.ts",
    `import { it } from "@effect/vitest"\nexport const skip = it.effect.skip\n`,
    "no-restricted-properties"
  ],
  ["a skipped test", "test/b.test.ts", `import { it } from "vitest"\nit.skip("a", () => {})\n`, "no-disabled-tests"]
]

const ok = "export type Ok = number\nexport const ok: Ok = 1\n"

/** What the rooms may do. */
const accepted: Readonly<Record<string, string>> = {
  "src/schema/ok.ts":
    `import * as Schema from "effect/Schema"\nexport const ok = Schema.String\nexport type Ok = number\n`,
  "src/protocol/ok.ts":
    `import type { Ok } from "../schema/ok.ts"\nexport { ok } from "../schema/ok.ts"\nexport type { Ok }\n`,
  "src/services/ok.ts":
    `import type { Ok } from "../protocol/ok.ts"\nexport { ok } from "../schema/ok.ts"\nexport type { Ok }\n`,
  "src/layers/ok.ts":
    `import * as Socket from "effect/socket/Socket"\nimport * as Net from "node:net"\nimport sodium from "libsodium-wrappers"\n` +
    `import { ok } from "../services/ok.ts"\nexport const all = () => [Socket, Net, sodium, ok, Date.now(), setTimeout]\n`,
  "src/layers/n.ts": `import { m } from "./m.ts"\nexport const n = () => m\n`,
  "src/testing/ok.ts": `export * from "../layers/ok.ts"\n`,
  "src/cli/ok.ts":
    `import * as Runtime from "@effect/platform-node/NodeRuntime"\nexport const all = [Runtime, process.argv]\n`,
  "src/main.ts": `export * from "./cli/ok.ts"\n`,
  "src/testing/index.ts": `export * from "./ok.ts"\n`,
  "scripts/ok.ts": `${ok}console.log(Date.now(), Math.random())\n`
}

interface Report {
  readonly diagnostics: ReadonlyArray<{ readonly code: string; readonly filename: string }>
}

/** Rules that fired, by file. oxlint exits with 1 when it found something, which here it must. */
const lint = (): ReadonlyMap<string, ReadonlyArray<string>> => {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "causeway-lint-"))
  try {
    const files = [...Object.entries(accepted), ...refused.map(([, file, content]) => [file, content] as const)]
    for (const [file, content] of files) {
      Fs.mkdirSync(Path.dirname(Path.join(folder, file)), { recursive: true })
      Fs.writeFileSync(Path.join(folder, file), content)
    }
    Fs.copyFileSync(Path.join(root, ".oxlintrc.json"), Path.join(folder, ".oxlintrc.json"))
    let output = ""
    try {
      const oxlint = Path.join(root, "node_modules/oxlint/bin/oxlint")
      output = execFileSync(process.execPath, [oxlint, "--format", "json"], { cwd: folder, encoding: "utf8" })
    } catch (error) {
      output = (error as { readonly stdout: string }).stdout
    }
    const found = new Map<string, Array<string>>()
    for (const { code, filename } of (JSON.parse(output) as Report).diagnostics) {
      found.set(filename, [...(found.get(filename) ?? []), code])
    }
    return found
  } finally {
    Fs.rmSync(folder, { recursive: true, force: true })
  }
}

describe("the linter", () => {
  const found = lint()

  it.each(refused)("refuses %s", (_, file, __, rule) => {
    assert.include((found.get(file) ?? []).join(" "), rule)
  })

  it.each(Object.keys(accepted).filter((file) => file !== "src/layers/n.ts"))("accepts %s", (file) => {
    assert.deepStrictEqual(found.get(file) ?? [], [])
  })
})
