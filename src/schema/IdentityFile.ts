/**
 * The content of an identity file: the two secret keys of a node, as JSON with hexadecimal keys. Reading and writing the file, and
 * refusing one that others can read, is done elsewhere. No message of these schemas contains what was read.
 */
import * as Schema from "effect/Schema"
import { bytesFromHex, FixedBytes, HexText, keySize } from "./Bytes.ts"

/** A 32-byte secret key written as 64 hexadecimal digits; in memory it is redacted. */
export const SecretKeyFromHex = Schema.RedactedFromValue(
  HexText(keySize).pipe(Schema.decodeTo(FixedBytes(keySize), bytesFromHex))
)

/** `{ "version": 1, "identitySecretKey": HEX, "dhtSecretKey": HEX }`. */
export const IdentityFile = Schema.Struct({
  version: Schema.Literal(1),
  identitySecretKey: SecretKeyFromHex,
  dhtSecretKey: SecretKeyFromHex
})
export type IdentityFile = typeof IdentityFile.Type

/** The same, as the text of the file. */
export const IdentityFileFromJson = Schema.fromJsonString(IdentityFile)
