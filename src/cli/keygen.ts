/** `causeway keygen`: makes an identity file and prints its public keys, never the secret ones. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as EntropyLive from "../layers/EntropyLive.ts"
import * as IdentityFile from "../layers/IdentityFile.ts"
import * as ToxCryptoAuto from "../layers/ToxCryptoAuto.ts"
import { toHex } from "../schema/Bytes.ts"
import * as Output from "./output.ts"

export const run = (input: { readonly out: string; readonly json: boolean }) =>
  Effect.gen(function*() {
    const output = Output.make({ json: input.json, events: "stdout" })
    const keys = yield* IdentityFile.create(input.out)
    const identityKey = toHex(keys.identity.publicKey)
    const dhtKey = toHex(keys.dht.publicKey)
    yield* output.event(
      { event: "identity", file: input.out, identityKey, dhtKey },
      `wrote ${Output.oneLine(input.out)}\nidentity key ${identityKey}\nDHT key      ${dhtKey}`
    )
  }).pipe(Effect.scoped, Effect.provide(Layer.merge(EntropyLive.layer, ToxCryptoAuto.layer)))
