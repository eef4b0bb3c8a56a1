/**
 * The two hellos that open a relay connection, and what is sealed in both (relay protocol, section 3). They have no length prefix.
 */
import { keySize, macSize, nonceSize } from "./Bytes.ts"
import * as Field from "./WireField.ts"
import * as Wire from "./WirePacket.ts"

export const clientHelloSize = 128
export const serverHelloSize = 96
export const helloPayloadSize = 56

const sealedPayload = Field.bytes(keySize + nonceSize + macSize)

/** First bytes from client to relay. `sealed` is a `HelloPayload` under the static keys of both. */
export const ClientHello = Wire.struct("ClientHello", {
  publicKey: Field.publicKey,
  nonce: Field.bytes(nonceSize),
  sealed: sealedPayload
})
export type ClientHello = Wire.ValueOf<typeof ClientHello>

/** First bytes from relay to client, sealed under the same key as the client's. */
export const ServerHello = Wire.struct("ServerHello", { nonce: Field.bytes(nonceSize), sealed: sealedPayload })
export type ServerHello = Wire.ValueOf<typeof ServerHello>

/** The sender's key for this connection, and the nonce of the first frame **it** will send. */
export const HelloPayload = Wire.struct("HelloPayload", {
  ephemeralKey: Field.publicKey,
  baseNonce: Field.bytes(nonceSize)
})
export type HelloPayload = Wire.ValueOf<typeof HelloPayload>
