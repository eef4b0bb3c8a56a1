/**
 * The handshake of the relay protocol (section 3), both sides, as plain functions from bytes to a session. They wipe every ephemeral
 * secret as soon as it has served. They never tell a far side why its hello was refused.
 */
import * as Result from "effect/Result"
import { equalBytes, macSize, type PublicKey } from "../../schema/Bytes.ts"
import * as Hello from "../../schema/RelayHello.ts"
import type { Cipher, Crypto, KeyPair } from "../crypto/Crypto.ts"
import { type Ephemeral, type Fill, makeEphemeral, randomNonce } from "../crypto/ephemeral.ts"

export type { Fill } from "../crypto/ephemeral.ts"

/** What both sides have after the handshake. `cipher` serves both directions and belongs to the caller, who disposes of it. */
export interface RelaySession {
  readonly cipher: Cipher
  /** Base nonce of the frames that we send: the one that we generated. */
  readonly send: Uint8Array
  /** Base nonce of the frames that we receive: the one that the far side generated. */
  readonly receive: Uint8Array
}

/** What the client keeps between its hello and the relay's. */
export interface ClientHelloState {
  readonly cipher: Cipher
  readonly ephemeral: Ephemeral
  readonly send: Uint8Array
}

/** What the relay has after a valid client hello. */
export interface AnsweredHello extends RelaySession {
  /** The 96 bytes to send. */
  readonly reply: Uint8Array
  /** The DHT key that the client claims; proven only by the first frame that opens. */
  readonly clientKey: PublicKey
}

/**
 * Begins the client's side: the 128 bytes to send, and what `openServerHello` needs. Undefined when the relay's key is unusable or
 * our own: no handshake can succeed then. When no answer comes, give the state to `forgetHello`.
 */
export const clientHello = (
  crypto: Crypto,
  ours: KeyPair,
  relay: PublicKey,
  fill: Fill
): { readonly bytes: Uint8Array; readonly state: ClientHelloState } | undefined => {
  if (equalBytes(ours.publicKey, relay)) return undefined
  const cipher = crypto.box(relay, ours.secretKey)
  if (cipher === undefined) return undefined
  const ephemeral = makeEphemeral(crypto, fill)
  const nonce = randomNonce(fill)
  const send = randomNonce(fill)
  const sealed = sealOffer(cipher, ephemeral.publicKey, send, nonce)
  const bytes = Hello.ClientHello.encode(Hello.ClientHello.make({ publicKey: ours.publicKey, nonce, sealed }))
  return { bytes, state: { cipher, ephemeral, send } }
}

/**
 * Completes the client's side with the relay's 96 bytes. Undefined when they do not open or carry an unusable key. The state
 * is spent either way: a second call returns undefined.
 */
export const openServerHello = (
  crypto: Crypto,
  state: ClientHelloState,
  bytes: Uint8Array
): RelaySession | undefined => {
  try {
    const hello = Result.getOrUndefined(Hello.ServerHello.decode(bytes))
    if (hello === undefined) return undefined
    const offer = openOffer(state.cipher, hello.sealed, hello.nonce)
    if (offer === undefined) return undefined
    const cipher = crypto.box(offer.ephemeralKey, state.ephemeral.secretKey)
    return cipher === undefined ? undefined : { cipher, send: state.send, receive: offer.baseNonce }
  } finally {
    forgetHello(state)
  }
}

/** Wipes the secrets of a hello. Idempotent. */
export const forgetHello = (state: ClientHelloState): void => {
  state.cipher.dispose()
  state.ephemeral.wipe()
}

/**
 * The relay's side. Undefined when the 128 bytes do not open, carry an unusable key, or come from the relay's own key; the
 * caller then closes without a word, whatever the cause.
 */
export const answerClientHello = (
  crypto: Crypto,
  relay: KeyPair,
  bytes: Uint8Array,
  fill: Fill
): AnsweredHello | undefined => {
  const hello = Result.getOrUndefined(Hello.ClientHello.decode(bytes))
  if (hello === undefined || equalBytes(hello.publicKey, relay.publicKey)) return undefined
  const helloCipher = crypto.box(hello.publicKey, relay.secretKey)
  if (helloCipher === undefined) return undefined
  try {
    const offer = openOffer(helloCipher, hello.sealed, hello.nonce)
    if (offer === undefined) return undefined
    const ephemeral = makeEphemeral(crypto, fill)
    try {
      const cipher = crypto.box(offer.ephemeralKey, ephemeral.secretKey)
      if (cipher === undefined) return undefined
      const nonce = randomNonce(fill)
      const send = randomNonce(fill)
      const sealed = sealOffer(helloCipher, ephemeral.publicKey, send, nonce)
      const reply = Hello.ServerHello.encode(Hello.ServerHello.make({ nonce, sealed }))
      // A copy, because the hello is a view of a chunk that the transport gave us.
      const clientKey = hello.publicKey.slice() as PublicKey
      return { reply, clientKey, cipher, send, receive: offer.baseNonce }
    } finally {
      ephemeral.wipe()
    }
  } finally {
    helloCipher.dispose()
  }
}

/** Both hellos seal the same thing: an ephemeral key and the base nonce of the frames that its sender will send. */
const sealOffer = (cipher: Cipher, ephemeralKey: PublicKey, baseNonce: Uint8Array, nonce: Uint8Array): Uint8Array => {
  const offer = Hello.HelloPayload.encode(Hello.HelloPayload.make({ ephemeralKey, baseNonce }))
  const sealed = new Uint8Array(offer.length + macSize)
  cipher.seal(sealed, 0, offer, 0, offer.length, nonce)
  return sealed
}

const openOffer = (cipher: Cipher, sealed: Uint8Array, nonce: Uint8Array): Hello.HelloPayload | undefined => {
  const offer = new Uint8Array(Hello.helloPayloadSize)
  if (!cipher.open(offer, 0, sealed, 0, sealed.length, nonce)) return undefined
  return Result.getOrUndefined(Hello.HelloPayload.decode(offer))
}
