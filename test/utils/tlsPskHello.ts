/**
 * A ClientHello of TLS 1.3 with a pre-shared key, byte by byte (RFC 8446), for what no client of Node would send: one that offers the key
 * without any ephemeral key exchange.
 */
import { createHash, createHmac, generateKeyPairSync, randomBytes } from "node:crypto"

const u8 = (value: number) => Buffer.of(value)
const u16 = (value: number) => Buffer.of(value >> 8, value & 0xff)
const u24 = (value: number) => Buffer.of(value >> 16, (value >> 8) & 0xff, value & 0xff)
const sized16 = (...parts: ReadonlyArray<Uint8Array>) => {
  const all = Buffer.concat(parts)
  return Buffer.concat([u16(all.length), all])
}
const extension = (type: number, ...parts: ReadonlyArray<Uint8Array>) => Buffer.concat([u16(type), sized16(...parts)])

/** HKDF-Expand for 32 bytes, which are one block. */
const expandLabel = (secret: Uint8Array, label: string, context: Uint8Array) => {
  const full = Buffer.from(`tls13 ${label}`)
  const info = Buffer.concat([u16(32), u8(full.length), full, u8(context.length), context])
  return createHmac("sha256", secret).update(info).update(u8(1)).digest()
}

/** "psk_ke" is the key alone, "psk_dhe_ke" the key and X25519. */
export const tlsPskHello = (
  options: { readonly pskIdentity: string; readonly psk: Uint8Array; readonly mode: "psk_ke" | "psk_dhe_ke" }
): Uint8Array => {
  const share = generateKeyPairSync("x25519").publicKey.export({ format: "der", type: "spki" }).subarray(-32)
  const identity = Buffer.from(options.pskIdentity)
  const identities = sized16(sized16(identity), Buffer.alloc(4))
  const binders = (binder: Uint8Array) => sized16(u8(binder.length), binder)
  const bindersSize = 2 + 1 + 32

  const extensions = [
    extension(43, u8(2), u16(0x0304)),
    extension(45, u8(1), u8(options.mode === "psk_ke" ? 0 : 1)),
    ...options.mode === "psk_ke"
      ? []
      : [extension(10, sized16(u16(0x001d))), extension(51, sized16(u16(0x001d), sized16(share)))],
    // Last, and cut off before the binders when these are computed.
    Buffer.concat([u16(41), u16(identities.length + bindersSize), identities])
  ]
  const withoutBinders = Buffer.concat([
    u16(0x0303),
    randomBytes(32),
    u8(32),
    randomBytes(32),
    sized16(u16(0x1301)),
    u8(1),
    u8(0),
    u16(extensions.reduce((sum, part) => sum + part.length, 0) + bindersSize),
    ...extensions
  ])
  const truncated = Buffer.concat([u8(1), u24(withoutBinders.length + bindersSize), withoutBinders])
  const early = createHmac("sha256", Buffer.alloc(32)).update(options.psk).digest()
  const binderKey = expandLabel(early, "ext binder", createHash("sha256").digest())
  const finished = expandLabel(binderKey, "finished", Buffer.alloc(0))
  const binder = createHmac("sha256", finished).update(createHash("sha256").update(truncated).digest()).digest()
  return Buffer.concat([u8(22), u16(0x0301), sized16(truncated, binders(binder))])
}
