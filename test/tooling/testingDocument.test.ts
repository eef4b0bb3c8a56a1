import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"

/** The formatter of documents breaks lines elsewhere. */
const withoutSpace = (code: string) => code.replaceAll(/\s/g, "")
const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8")

describe("docs/testing.md", () => {
  it("shows the example that is compiled and run", () => {
    const shown = /```ts\n([^]*?)```/.exec(read("docs/testing.md"))![1]
    const run = read("test/testing/applicationExample.test.ts")
      .replace("../../src/index.ts", "effect-causeway")
      .replace("../../src/testing/index.ts", "effect-causeway/testing")
    assert.strictEqual(withoutSpace(shown!), withoutSpace(run))
  })
})
