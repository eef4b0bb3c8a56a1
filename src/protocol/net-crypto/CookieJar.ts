/**
 * Our own cookies (net_crypto protocol, section 3): issued without keeping state, accepted once, for fifteen seconds of monotonic
 * time, by the process that issued them. A cookie says which real key and which DHT key asked for it.
 */
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { equalBytes, macSize, nonceSize, type PublicKey, toHex } from "../../schema/Bytes.ts"
import * as Packet from "../../schema/NetCryptoPacket.ts"
import { allocateSecret } from "../../schema/secretBytes.ts"
import type { Cipher, Crypto } from "../crypto/Crypto.ts"
import { type Fill, randomNonce } from "../crypto/ephemeral.ts"

/** Who asked for a cookie. */
export interface CookieBearer {
  readonly realKey: PublicKey
  readonly dhtKey: PublicKey
}

/** A cookie that we have opened. `issuedAt` is monotonic milliseconds, rounded down. */
export interface IssuedCookie {
  readonly bearer: CookieBearer
  readonly issuedAt: number
}

/** How many used cookies are remembered; they expire by themselves long before that with the rate limits in force. */
const maxUsed = 8_192
const contentSize = Packet.cookieSize - nonceSize - macSize

export class CookieJar {
  readonly #cipher: Cipher
  readonly #fill: Fill
  readonly #lifetime: number
  /** Nonce of a used cookie: the handshake that used it, and until when it matters. Oldest first. */
  readonly #used = new Map<string, { readonly handshake: Uint8Array; readonly until: number }>()

  /** A jar with a key of its own. `lifetime` is milliseconds. */
  constructor(crypto: Crypto, fill: Fill, lifetime: number) {
    const key = allocateSecret()
    fill(key)
    this.#cipher = crypto.secretBox(Redacted.make(key))
    crypto.wipe(key)
    this.#fill = fill
    this.#lifetime = lifetime
  }

  /** A cookie of 112 bytes for these keys. `now` is monotonic milliseconds. */
  issue(bearer: CookieBearer, now: number): Uint8Array {
    const content = Packet.CookieContent.encode(
      Packet.CookieContent.make({ time: BigInt(Math.floor(now)), realKey: bearer.realKey, dhtKey: bearer.dhtKey })
    )
    const cookie = new Uint8Array(Packet.cookieSize)
    const nonce = randomNonce(this.#fill)
    cookie.set(nonce)
    this.#cipher.seal(cookie, nonceSize, content, 0, contentSize, nonce)
    return cookie
  }

  /** Who the cookie was issued to, and when; undefined when it is not ours, has expired or comes from the future. */
  open(cookie: Uint8Array, now: number): IssuedCookie | undefined {
    const content = new Uint8Array(contentSize)
    const sealed = cookie.length - nonceSize
    if (!this.#cipher.open(content, 0, cookie, nonceSize, sealed, cookie.subarray(0, nonceSize))) return undefined
    const opened = Result.getOrUndefined(Packet.CookieContent.decode(content))
    if (opened === undefined) return undefined
    const age = now - Number(opened.time)
    return age < 0 || age > this.#lifetime ? undefined : { bearer: opened, issuedAt: Number(opened.time) }
  }

  /**
   * Uses the cookie for a handshake packet. False when another handshake has used it before; the identical packet may come again,
   * because packets are repeated and travel over several relays.
   */
  use(cookie: Uint8Array, handshake: Uint8Array, now: number): boolean {
    this.#expire(now)
    const id = toHex(cookie.subarray(0, nonceSize))
    const before = this.#used.get(id)
    if (before !== undefined) return equalBytes(before.handshake, handshake)
    this.#used.set(id, { handshake: handshake.slice(), until: now + this.#lifetime })
    return true
  }

  dispose(): void {
    this.#cipher.dispose()
    this.#used.clear()
  }

  #expire(now: number): void {
    for (const [id, use] of this.#used) {
      if (use.until >= now && this.#used.size < maxUsed) return
      this.#used.delete(id)
    }
  }
}
