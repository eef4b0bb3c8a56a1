/**
 * Identities kept in files (JSON, see `schema/IdentityFile`). A file is created once and never overwritten, and is refused when
 * others than its owner may read it. The text of a file passes through JavaScript strings, which cannot be wiped.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { toHex } from "../schema/Bytes.ts"
import { IdentityFile } from "../schema/IdentityFile.ts"
import { allocateSecret } from "../schema/secretBytes.ts"
import { Entropy } from "../services/Entropy.ts"
import { generate, Identity, type IdentityKeys, keyPair } from "../services/Identity.ts"
import { IdentityError, type IdentityErrorReason, Malformed } from "../services/IdentityError.ts"
import { ToxCrypto } from "../services/ToxCrypto.ts"
import * as Access from "./IdentityFileAccess.ts"

const decode = Schema.decodeUnknownResult(IdentityFile)
const encode = Schema.encodeEffect(IdentityFile)
const isKeyText = Schema.is(Schema.String.check(Schema.isPattern(/^[0-9a-fA-F]{64}$/)))

/** What is wrong with `content`, in words that do not depend on any secret in it. */
const fault = (content: unknown): string => {
  if (typeof content !== "object" || content === null || Array.isArray(content)) return "it is not a JSON object"
  const fields = content as { readonly [field: string]: unknown }
  if (fields["version"] === undefined) return "version is missing"
  if (fields["version"] !== 1) return "its version is not 1, the only one this program knows"
  for (const field of ["identitySecretKey", "dhtSecretKey"]) {
    if (fields[field] === undefined) return `${field} is missing`
    if (!isKeyText(fields[field])) return `${field} is not 64 hexadecimal digits`
  }
  return "it does not have the fields of an identity"
}

/** The messages of `JSON.parse` and of the schema are dropped: they may quote what was read. */
const parse = (content: Buffer): Effect.Effect<IdentityFile, Malformed> =>
  Effect.suspend(() => {
    if (content.length === 0) return new Malformed({ detail: "it is empty" })
    const json = Result.try((): unknown => JSON.parse(content.toString("utf8")))
    if (Result.isFailure(json)) return new Malformed({ detail: "it is not JSON" })
    const decoded = decode(json.success)
    return Result.isFailure(decoded)
      ? new Malformed({ detail: fault(json.success) })
      : Effect.succeed(decoded.success)
  })

/** Moves a decoded secret to memory of its own. */
const adopt = (decoded: Redacted.Redacted<Uint8Array>) =>
  Effect.flatMap(ToxCrypto, (crypto) => {
    const secret = allocateSecret()
    secret.set(Redacted.value(decoded))
    crypto.wipe(Redacted.value(decoded))
    Redacted.wipeUnsafe(decoded)
    return keyPair(secret)
  })

const withPath = (path: string) =>
<A, R>(
  self: Effect.Effect<A, IdentityErrorReason, R>
): Effect.Effect<A, IdentityError, R> => Effect.mapError(self, (reason) => new IdentityError({ path, reason }))

/**
 * Reads the identity in the file at `path`. The secret keys are wiped when the scope closes. Fails with `IdentityError` when the
 * file is missing, a symbolic link or not a regular file, when it may be read or changed by others (any permission bit for group
 * or others; not checked on Windows), and when its content is not an identity.
 */
export const load: (path: string) => Effect.Effect<IdentityKeys, IdentityError, ToxCrypto | Scope.Scope> = Effect.fn(
  "IdentityFile.load"
)(function*(path: string) {
  const content = yield* Effect.acquireUseRelease(
    Access.read(path),
    parse,
    (buffer) => Effect.sync(() => buffer.fill(0))
  ).pipe(withPath(path))
  const identity = yield* adopt(content.identitySecretKey)
  const dht = yield* adopt(content.dhtSecretKey)
  return { identity, dht }
})

/**
 * Generates an identity and stores it in a new file of mode 0600 at `path`, complete from the moment it appears and on the disk
 * when this returns. The secret keys in memory are wiped when the scope closes. Fails with `IdentityError`: `Exists` when
 * anything at all is at `path`, `Unwritable` when the operating system refuses.
 */
export const create: (
  path: string
) => Effect.Effect<IdentityKeys, IdentityError, Entropy | ToxCrypto | Scope.Scope> = Effect.fn("IdentityFile.create")(
  function*(path: string) {
    const entropy = yield* Entropy
    const keys = yield* generate
    const fields = yield* Effect.orDie(encode({
      version: 1,
      identitySecretKey: keys.identity.secretKey,
      dhtSecretKey: keys.dht.secretKey
    }))
    yield* Effect.acquireUseRelease(
      Effect.sync(() => Buffer.from(JSON.stringify(fields, undefined, 2) + "\n")),
      (content) => Access.create(path, toHex(entropy.bytes(8)), content),
      (content) => Effect.sync(() => content.fill(0))
    ).pipe(withPath(path))
    return keys
  }
)

/** The identity in an existing file, as a layer: see `load`. */
export const layer = (path: string): Layer.Layer<Identity, IdentityError, ToxCrypto> =>
  Layer.effect(Identity, load(path))
