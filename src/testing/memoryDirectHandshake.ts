/**
 * How two ends in the network inside the process prove to each other that they have the same key: as TLS does it, in the same number of
 * journeys and with the same refusals, but without a key exchange.
 *
 * Dialler: u8 length, PSK identity, u16 port, 16-byte nonce, 32-byte proof. Listener: u8 alert, and when that is 0 a nonce and a proof.
 * Dialler: a proof over both nonces. A proof is an HMAC-SHA-256 under the pre-shared key.
 */
import { hmac } from "@noble/hashes/hmac.js"
import { sha256 } from "@noble/hashes/sha2.js"
import { concatBytes } from "@noble/hashes/utils.js"
import * as Effect from "effect/Effect"
import { equalBytes } from "../schema/Bytes.ts"
import type { DirectSecret } from "../services/DirectTransport.ts"
import { type TransportConnection, TransportError } from "../services/RelayTransport.ts"

const nonceSize = 16
const proofSize = 32
/** TLS' numbers of these alerts. */
const handshakeFailure = 40
const decryptError = 51
const maxIdentityLength = 255

const denied = (detail: string) => new TransportError({ kind: "Denied", detail })

const encoder = new TextEncoder()
const decoder = new TextDecoder()

const proof = (psk: Uint8Array, word: string, ...parts: ReadonlyArray<Uint8Array>): Uint8Array =>
  hmac(sha256, psk, concatBytes(encoder.encode(word), ...parts))

/** 16 bytes that follow from the words alone: a run is the same every time. */
export const nonce = (words: string): Uint8Array => sha256(encoder.encode(words)).slice(0, nonceSize)

/** Takes exactly as many bytes as are asked for. */
export interface Reader {
  readonly connection: TransportConnection
  readonly take: (size: number) => Effect.Effect<Uint8Array, TransportError>
  /** What has come beyond that. */
  readonly rest: () => Uint8Array
}

export const reader = (connection: TransportConnection): Reader => {
  let bytes: Uint8Array = new Uint8Array(0)
  const take = (size: number): Effect.Effect<Uint8Array, TransportError> =>
    Effect.suspend(() => {
      if (bytes.length >= size) {
        const taken = bytes.subarray(0, size)
        bytes = bytes.subarray(size)
        return Effect.succeed(taken)
      }
      return Effect.flatMap(connection.pull, (chunks) => {
        bytes = concatBytes(bytes, ...chunks)
        return take(size)
      })
    })
  return { connection, take, rest: () => bytes }
}

/** Proves the key and lets the listener prove it. `port` is what the listener sees as the dialler's. */
export const asClient = Effect.fnUntraced(function*(
  { connection, take }: Reader,
  { psk, pskIdentity }: DirectSecret,
  own: { readonly port: number; readonly nonce: Uint8Array }
) {
  const named = encoder.encode(pskIdentity)
  if (named.length > maxIdentityLength) return yield* denied("HANDSHAKE_FAILURE")
  const hello = concatBytes(
    Uint8Array.of(named.length),
    named,
    Uint8Array.of(own.port >> 8, own.port & 0xff),
    own.nonce
  )
  connection.write(concatBytes(hello, proof(psk, "dialler", hello)))
  const [alert] = yield* take(1)
  if (alert === decryptError) return yield* denied("DECRYPT_ERROR")
  if (alert !== 0) return yield* denied("HANDSHAKE_FAILURE")
  const theirs = yield* take(nonceSize)
  if (!equalBytes(yield* take(proofSize), proof(psk, "listener", hello, theirs))) return yield* denied("DECRYPT_ERROR")
  connection.write(proof(psk, "finished", hello, theirs))
})

/** Returns the PSK identity by which the dialler has proven itself. */
export const asServer = Effect.fnUntraced(function*(
  { connection, take }: Reader,
  pskOf: (pskIdentity: string, port: number) => Uint8Array | undefined,
  ownNonce: Uint8Array
) {
  const [length = 0] = yield* take(1)
  const rest = yield* take(length + 2 + nonceSize)
  const hello = concatBytes(Uint8Array.of(length), rest)
  const claimed = yield* take(proofSize)
  const pskIdentity = decoder.decode(rest.subarray(0, length))
  const psk = pskOf(pskIdentity, (rest[length]! << 8) | rest[length + 1]!)
  if (psk === undefined) {
    connection.write(Uint8Array.of(handshakeFailure))
    return yield* denied("UNKNOWN_IDENTITY")
  }
  if (!equalBytes(claimed, proof(psk, "dialler", hello))) {
    connection.write(Uint8Array.of(decryptError))
    return yield* denied("DECRYPT_ERROR")
  }
  connection.write(concatBytes(Uint8Array.of(0), ownNonce, proof(psk, "listener", hello, ownNonce)))
  // The key may be wiped while the dialler's last word is under way.
  const expected = proof(psk, "finished", hello, ownNonce)
  if (!equalBytes(yield* take(proofSize), expected)) return yield* denied("DECRYPT_ERROR")
  return pskIdentity
})
