/**
 * The cryptographic primitives that plain code needs, as an interface: X25519, XSalsa20-Poly1305 and SHA-512.
 * `services/ToxCrypto` is this interface as a service; two layers implement it. Everything here is synchronous,
 * because it runs once per packet.
 */
import type * as Redacted from "effect/Redacted"
import type { PublicKey } from "../../schema/Bytes.ts"

/** A secret key or a precomputed key, 32 bytes. Wiped by whoever created it, when its scope closes. */
export type SecretKey = Redacted.Redacted<Uint8Array>

/** An X25519 key pair. */
export interface KeyPair {
  readonly publicKey: PublicKey
  readonly secretKey: SecretKey
}

/**
 * XSalsa20-Poly1305 under one fixed key. A sealed message is its 16-byte tag followed by the ciphertext. The key lives inside
 * the cipher and is wiped by `dispose`.
 */
export interface Cipher {
  /**
   * Seals `length` bytes of `source` from `sourceAt` and writes `length + 16` bytes to `target` from `targetAt`.
   * The two ranges must not overlap. `nonce` is 24 bytes and is not changed.
   */
  readonly seal: (
    target: Uint8Array,
    targetAt: number,
    source: Uint8Array,
    sourceAt: number,
    length: number,
    nonce: Uint8Array
  ) => void
  /**
   * Opens `length` sealed bytes (tag included) of `source` and writes `length - 16` bytes to `target`.
   * Returns false, with unspecified bytes in that range of `target`, when the message does not authenticate or when
   * `length <= 16`: an empty plaintext does not exist in Tox.
   */
  readonly open: (
    target: Uint8Array,
    targetAt: number,
    source: Uint8Array,
    sourceAt: number,
    length: number,
    nonce: Uint8Array
  ) => boolean
  /** Wipes the key. Idempotent. Sealing afterwards is a bug and throws; opening returns false. */
  readonly dispose: () => void
}

/** The primitives. All of it is synchronous; all inputs may be views into larger buffers. */
export interface Crypto {
  /** Which library does the packets: shown by the command and by the benchmarks. */
  readonly implementation: "sodium-native" | "libsodium-wrappers"
  /** The public key that belongs to a 32-byte secret key. */
  readonly publicKey: (secretKey: SecretKey) => PublicKey
  /**
   * The cipher of `box(theirs, ours)` (X25519, then HSalsa20). `undefined` when the public key is unusable
   * (low order or zero), which an attacker can send: callers treat it like a message that does not open.
   */
  readonly box: (theirs: Uint8Array, ours: SecretKey) => Cipher | undefined
  /**
   * The bare X25519 secret of two keys (RFC 7748), 32 bytes, the same from both sides: input of a key derivation, never a key
   * itself. It belongs to the caller, who wipes it. `undefined` when the public key is unusable, as in `box`.
   */
  readonly sharedSecret: (theirs: Uint8Array, ours: SecretKey) => Uint8Array | undefined
  /** The cipher of a symmetric 32-byte key, which is copied. */
  readonly secretBox: (key: SecretKey) => Cipher
  /** SHA-512, 64 bytes. */
  readonly sha512: (bytes: Uint8Array) => Uint8Array
  /** Constant-time comparison; false when the lengths differ. */
  readonly equal: (a: Uint8Array, b: Uint8Array) => boolean
  /** Overwrites with zeros. */
  readonly wipe: (bytes: Uint8Array) => void
}
