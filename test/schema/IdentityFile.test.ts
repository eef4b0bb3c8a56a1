import { assert, describe, it } from "@effect/vitest"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { inspect } from "node:util"
import { IdentityFileFromJson } from "../../src/schema/IdentityFile.ts"

const identity = "0A".repeat(32)
const dht = "0B".repeat(32)
const file = JSON.stringify({ version: 1, identitySecretKey: identity, dhtSecretKey: dht })

describe("IdentityFile", () => {
  it("reads the two secret keys as redacted bytes and writes the same file", () => {
    const keys = Schema.decodeSync(IdentityFileFromJson)(file)
    assert.deepStrictEqual(Redacted.value(keys.identitySecretKey), new Uint8Array(32).fill(10))
    assert.deepStrictEqual(Redacted.value(keys.dhtSecretKey), new Uint8Array(32).fill(11))
    assert.strictEqual(Schema.encodeSync(IdentityFileFromJson)(keys), file)
    const lower = Schema.decodeSync(IdentityFileFromJson)(file.replace(dht, dht.toLowerCase()))
    assert.deepStrictEqual(Redacted.value(lower.dhtSecretKey), new Uint8Array(32).fill(11))
  })

  it("G2: what it read never shows, neither in a value nor in an error", () => {
    const keys = Schema.decodeSync(IdentityFileFromJson)(file)
    for (const shown of [String(keys.identitySecretKey), JSON.stringify(keys), inspect(keys, { depth: 9 })]) {
      assert.notMatch(shown, /0A0A|0B0B|10,\s*10|11,\s*11/)
    }
    const bad = [
      file.slice(0, -1),
      file.replace(`"version":1`, `"version":2`),
      file.replace(identity, identity.slice(2)),
      file.replace(identity, `${identity.slice(2)}zz`),
      file.replace(`"${dht}"`, "null"),
      file.replace("dhtSecretKey", "dht"),
      "",
      identity
    ]
    for (const text of bad) {
      const result = Schema.decodeResult(IdentityFileFromJson)(text)
      if (Result.isSuccess(result)) return assert.fail(text)
      assert.notMatch(inspect(result.failure, { depth: 20 }) + result.failure.message, /0A0A|0B0B|10,\s*10/)
    }
    return undefined
  })
})
