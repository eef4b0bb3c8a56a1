import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { inspect } from "node:util"
import * as EntropyLive from "../../src/layers/EntropyLive.ts"
import * as IdentityFile from "../../src/layers/IdentityFile.ts"
import * as ToxCryptoNative from "../../src/layers/ToxCryptoNative.ts"
import { Identity, type IdentityKeys } from "../../src/services/Identity.ts"
import type { IdentityError, IdentityErrorReason } from "../../src/services/IdentityError.ts"

const services = Layer.mergeAll(EntropyLive.layer, ToxCryptoNative.layer)
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

/** A directory of its own, removed afterwards. */
const directory = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "causeway-identity-"))),
  (path) => Effect.sync(() => fs.rmSync(path, { recursive: true, force: true }))
)

const identitySecretKey = "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"
const dhtSecretKey = "2122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f40"
const valid = { version: 1, identitySecretKey, dhtSecretKey }

const write = (file: string, content: string | Uint8Array, mode = 0o600): void => {
  fs.writeFileSync(file, content)
  fs.chmodSync(file, mode)
}
/** Loads a file with that content and returns the error. */
const refused = (content: string | Uint8Array, mode = 0o600) =>
  Effect.gen(function*() {
    const file = path.join(yield* directory, "id.json")
    write(file, content, mode)
    return yield* Effect.flip(IdentityFile.load(file))
  })
const detail = (error: IdentityError): string =>
  error.reason._tag === "Malformed" ? error.reason.detail : error.reason._tag

const refusal = (name: string, content: string | Uint8Array, expected: string) =>
  it.effect(`load refuses ${name}`, () =>
    Effect.gen(function*() {
      const error = yield* refused(content)
      expect(error.reason._tag).toBe("Malformed")
      expect(detail(error)).toContain(expected)
      expect(error.message).toContain("causeway keygen --out")
      const shown = error.message + inspect(error, { depth: 9, showHidden: true }) + JSON.stringify(error) +
        String(error)
      // Eight digits of a key in a row would be a leak.
      expect(shown).not.toMatch(/01020304|21222324|hunter2/)
    }).pipe(Effect.provide(services)))

describe("IdentityFile.load", () => {
  it.effect("reads the keys and derives the public keys of the vectors", () =>
    Effect.gen(function*() {
      const file = path.join(yield* directory, "id.json")
      write(file, JSON.stringify(valid))
      const keys = yield* IdentityFile.load(file)
      expect(hex(keys.identity.publicKey)).toBe("07a37cbc142093c8b755dc1b10e86cb426374ad16aa853ed0bdfc0b2b86d1c7c")
      expect(hex(keys.dht.publicKey)).toBe("5869aff450549732cbaaed5e5df9b30a6da31cb0e5742bad5ad4a1a768f1a67b")
      expect(hex(Redacted.value(keys.identity.secretKey))).toBe(identitySecretKey)
      expect(hex(Redacted.value(keys.dht.secretKey))).toBe(dhtSecretKey)
    }).pipe(Effect.provide(services)))

  refusal("an empty file", "", "empty")
  refusal("what is not JSON, without quoting it", `hunter2 ${identitySecretKey}`, "not JSON")
  refusal("a truncated file", JSON.stringify(valid).slice(0, -10), "not JSON")
  refusal("bytes that are not UTF-8", Uint8Array.of(0xff, 0xfe, 0, 1), "not JSON")
  refusal("null", "null", "not a JSON object")
  refusal("a string, even of a key", JSON.stringify(identitySecretKey), "not a JSON object")
  refusal("an array", JSON.stringify([valid]), "not a JSON object")
  refusal("a missing version", JSON.stringify({ identitySecretKey, dhtSecretKey }), "version is missing")
  refusal("another version", JSON.stringify({ ...valid, version: 2 }), "version is not 1")
  refusal(
    "a secret where the version should be",
    JSON.stringify({ ...valid, version: dhtSecretKey }),
    "version is not 1"
  )
  refusal("a missing identity key", JSON.stringify({ version: 1, dhtSecretKey }), "identitySecretKey is missing")
  refusal("a missing DHT key", JSON.stringify({ version: 1, identitySecretKey }), "dhtSecretKey is missing")
  refusal("a short key", JSON.stringify({ ...valid, dhtSecretKey: dhtSecretKey.slice(2) }), "dhtSecretKey is not 64")
  refusal(
    "a long key",
    JSON.stringify({ ...valid, identitySecretKey: identitySecretKey + "00" }),
    "identitySecretKey is not 64"
  )
  refusal(
    "a key with a letter beyond F",
    JSON.stringify({ ...valid, dhtSecretKey: "g" + dhtSecretKey.slice(1) }),
    "is not 64"
  )
  refusal("a key that is a number", JSON.stringify({ ...valid, dhtSecretKey: 21222324 }), "dhtSecretKey is not 64")
  refusal("a key that is null", JSON.stringify({ ...valid, dhtSecretKey: null }), "dhtSecretKey is not 64")
  refusal("a file larger than 4 KiB", JSON.stringify(valid) + " ".repeat(4096), "larger than")

  it.effect("a missing file: NotFound, and the command that makes one", () =>
    Effect.gen(function*() {
      const file = path.join(yield* directory, "absent.json")
      const error = yield* Effect.flip(IdentityFile.load(file))
      expect(error.reason._tag).toBe("NotFound")
      expect(error.path).toBe(file)
      expect(error.message).toContain(`causeway keygen --out ${file}`)
    }).pipe(Effect.provide(services)))

  for (const mode of [0o640, 0o604, 0o620, 0o602, 0o601, 0o610, 0o644, 0o666, 0o777]) {
    it.effect(`mode ${mode.toString(8)}: TooOpen, and the command that closes it`, () =>
      Effect.gen(function*() {
        const error = yield* refused(JSON.stringify(valid), mode)
        expect(error.reason).toMatchObject({ _tag: "TooOpen", mode })
        expect(error.message).toContain(`mode ${mode.toString(8)}`)
        expect(error.message).toContain(`chmod 600 ${error.path}`)
      }).pipe(Effect.provide(services)))
  }

  it.effect("modes 600 and 400 are accepted", () =>
    Effect.gen(function*() {
      const file = path.join(yield* directory, "id.json")
      for (const mode of [0o600, 0o400]) {
        fs.rmSync(file, { force: true })
        write(file, JSON.stringify(valid), mode)
        expect(hex((yield* IdentityFile.load(file)).identity.publicKey)).toMatch(/^07a3/)
      }
    }).pipe(Effect.provide(services)))

  it.effect("a symbolic link is refused, even to a good file", () =>
    Effect.gen(function*() {
      const root = yield* directory
      write(path.join(root, "id.json"), JSON.stringify(valid))
      fs.symlinkSync("id.json", path.join(root, "link.json"))
      const error = yield* Effect.flip(IdentityFile.load(path.join(root, "link.json")))
      expect(error.reason._tag).toBe("SymbolicLink")
    }).pipe(Effect.provide(services)))

  it.effect("a directory, a device and a pipe that nobody writes are refused without waiting", () =>
    Effect.gen(function*() {
      const root = yield* directory
      const pipe = path.join(root, "pipe")
      expect(spawnSync("mkfifo", ["-m", "600", pipe]).status).toBe(0)
      for (const file of [root, "/dev/null", pipe]) {
        expect((yield* Effect.flip(IdentityFile.load(file))).reason._tag, file).toBe("NotAFile")
      }
    }).pipe(Effect.provide(services)))

  it.effect("a path below a file: Unreadable with the system's word for it", () =>
    Effect.gen(function*() {
      const file = path.join(yield* directory, "id.json")
      write(file, JSON.stringify(valid))
      const error = yield* Effect.flip(IdentityFile.load(path.join(file, "below")))
      expect(error.reason).toMatchObject({ _tag: "Unreadable", detail: "ENOTDIR" })
    }).pipe(Effect.provide(services)))

  it.effect("a path with spaces and quotes is quoted for the shell in the message", () =>
    Effect.gen(function*() {
      const file = path.join(yield* directory, "it's mine.json")
      const error = yield* Effect.flip(IdentityFile.load(file))
      const printed = error.message.slice(error.message.indexOf("--out ") + "--out ".length)
      expect(spawnSync("sh", ["-c", `printf %s ${printed}`]).stdout.toString()).toBe(file)
    }).pipe(Effect.provide(services)))
})

describe("IdentityFile.create", () => {
  it.effect("writes a file of mode 600 that load reads back, and leaves nothing else behind", () =>
    Effect.gen(function*() {
      const root = yield* directory
      const file = path.join(root, "id.json")
      const umask = process.umask(0)
      const created = yield* Effect.ensuring(IdentityFile.create(file), Effect.sync(() => process.umask(umask)))
      expect(fs.statSync(file).mode & 0o777).toBe(0o600)
      expect(fs.statSync(file).nlink).toBe(1)
      expect(fs.readdirSync(root)).toEqual(["id.json"])
      const loaded = yield* IdentityFile.load(file)
      expect(hex(loaded.identity.publicKey)).toBe(hex(created.identity.publicKey))
      expect(hex(loaded.dht.publicKey)).toBe(hex(created.dht.publicKey))
      expect(hex(Redacted.value(loaded.identity.secretKey))).toBe(hex(Redacted.value(created.identity.secretKey)))
      expect(hex(created.identity.publicKey)).not.toBe(hex(created.dht.publicKey))
    }).pipe(Effect.provide(services)))

  it.effect("a strict umask does not make the file unreadable to its owner", () =>
    Effect.gen(function*() {
      const file = path.join(yield* directory, "id.json")
      const umask = process.umask(0o777)
      yield* Effect.ensuring(IdentityFile.create(file), Effect.sync(() => process.umask(umask)))
      expect(fs.statSync(file).mode & 0o777).toBe(0o600)
    }).pipe(Effect.provide(services)))

  it.effect("never overwrites a file, a directory or a dangling link: Exists, and nothing left behind", () =>
    Effect.gen(function*() {
      const root = yield* directory
      write(path.join(root, "file"), "precious")
      fs.mkdirSync(path.join(root, "directory"))
      fs.symlinkSync("nowhere", path.join(root, "link"))
      for (const name of ["file", "directory", "link"]) {
        const error = yield* Effect.flip(IdentityFile.create(path.join(root, name)))
        expect(error.reason._tag).toBe("Exists")
        expect(error.message).toContain("never overwritten")
      }
      expect(fs.readFileSync(path.join(root, "file"), "utf8")).toBe("precious")
      expect(fs.readdirSync(root).toSorted()).toEqual(["directory", "file", "link"])
    }).pipe(Effect.provide(services)))

  it.effect("of many at once exactly one succeeds, and the file is its", () =>
    Effect.gen(function*() {
      const root = yield* directory
      const file = path.join(root, "id.json")
      const results = yield* Effect.forEach(
        Array.from({ length: 20 }, (_, i) => i),
        () => Effect.exit(IdentityFile.create(file)),
        { concurrency: "unbounded" }
      )
      const winners = results.filter(Exit.isSuccess)
      expect(winners.length).toBe(1)
      const loaded = yield* IdentityFile.load(file)
      expect(hex(loaded.identity.publicKey)).toBe(hex(winners[0]!.value.identity.publicKey))
      expect(fs.readdirSync(root)).toEqual(["id.json"])
    }).pipe(Effect.provide(services)))

  it.effect("a missing directory: Unwritable with the system's word for it", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(IdentityFile.create(path.join(yield* directory, "absent", "id.json")))
      expect(error.reason).toMatchObject(
        { _tag: "Unwritable", detail: "ENOENT" } satisfies Partial<IdentityErrorReason>
      )
    }).pipe(Effect.provide(services)))
})

describe("identity secrets", () => {
  it.effect("G1: closing the scope overwrites the secret keys, and using them afterwards is a defect", () =>
    Effect.gen(function*() {
      const file = path.join(yield* directory, "id.json")
      for (const acquire of [IdentityFile.create(file), IdentityFile.load(file)]) {
        const scope = yield* Scope.make()
        const keys: IdentityKeys = yield* Scope.provide(acquire, scope)
        const secrets = [keys.identity, keys.dht].map((pair) => Redacted.value(pair.secretKey))
        for (const secret of secrets) expect(secret.some((byte) => byte !== 0)).toBe(true)
        yield* Scope.close(scope, Exit.void)
        for (const secret of secrets) expect(secret).toEqual(new Uint8Array(32))
        expect(() => Redacted.value(keys.identity.secretKey)).toThrow()
        expect(() => Redacted.value(keys.dht.secretKey)).toThrow()
      }
    }).pipe(Effect.provide(services)))

  it.effect("G2: no secret shows in an identity, printed in any way", () =>
    Effect.gen(function*() {
      const file = path.join(yield* directory, "id.json")
      write(file, JSON.stringify(valid))
      const keys = yield* Identity.pipe(Effect.provide(IdentityFile.layer(file)))
      for (const value of [keys, keys.identity, keys.identity.secretKey]) {
        const shown = inspect(value, { depth: 9, showHidden: true }) + String(value) + JSON.stringify(value)
        expect(shown).not.toMatch(/0102030405|"?1"?, ?"?2"?, ?"?3"?, ?"?4"?|"0":1,"1":2,"2":3/)
        expect(shown).toContain("redacted")
      }
    }).pipe(Effect.provide(services)))
})
