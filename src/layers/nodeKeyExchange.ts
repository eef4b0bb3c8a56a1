/**
 * Which ephemeral key exchange a TLS connection has negotiated. Node tells the client; of a server's side only the session knows, in the
 * form that OpenSSL writes it.
 */
import type * as Tls from "node:tls"
import { wipe } from "./cryptoInput.ts"

/** `[19] EXPLICIT`, the group of the key exchange, in OpenSSL's `SSL_SESSION`. It is absent when there was none. */
const groupTag = 0xb3
const sequenceTag = 0x30
const integerTag = 0x02

/** Names as OpenSSL gives them to a client, of the groups that it offers by itself. */
const groupNames: Readonly<Record<number, string>> = {
  0x0017: "prime256v1",
  0x0018: "secp384r1",
  0x0019: "secp521r1",
  0x001d: "X25519",
  0x001e: "X448",
  0x11eb: "SecP256r1MLKEM768",
  0x11ec: "X25519MLKEM768",
  0x11ed: "SecP384r1MLKEM1024"
}

interface Element {
  readonly tag: number
  readonly content: Uint8Array
  readonly next: number
}

/** The DER element at `at`; `undefined` when it is cut short or of a form that sessions do not have. */
const elementAt = (bytes: Uint8Array, at: number): Element | undefined => {
  const tag = bytes[at]
  const first = bytes[at + 1]
  if (tag === undefined || first === undefined) return undefined
  const extra = first < 0x80 ? 0 : first - 0x80
  if (extra > 2) return undefined
  let length = extra === 0 ? first : 0
  for (let i = 0; i < extra; i++) length = length * 256 + (bytes[at + 2 + i] ?? 0)
  const start = at + 2 + extra
  if (start + length > bytes.length) return undefined
  return { tag, content: bytes.subarray(start, start + length), next: start + length }
}

/** The group of the key exchange in a serialized session, by name or number; `undefined` when it has none. */
export const groupOfSession = (session: Uint8Array): string | undefined => {
  const outer = elementAt(session, 0)
  if (outer?.tag !== sequenceTag) return undefined
  for (let at = 0; at < outer.content.length;) {
    const element = elementAt(outer.content, at)
    if (element === undefined) return undefined
    at = element.next
    if (element.tag !== groupTag) continue
    const value = elementAt(element.content, 0)
    if (value?.tag !== integerTag) return undefined
    const group = value.content.reduce((number, byte) => number * 256 + byte, 0)
    return group === 0 ? undefined : groupNames[group] ?? `group ${group}`
  }
  return undefined
}

const ofServer = (socket: Tls.TLSSocket): string | undefined => {
  const session = socket.getSession()
  if (session === undefined) return undefined
  const group = groupOfSession(session)
  // It holds the pre-shared key.
  wipe(session)
  return group
}

/** The name of the key exchange; `undefined` when there was none, so that the connection has no forward secrecy. */
export const keyExchangeOf = (socket: Tls.TLSSocket, isServer: boolean): string | undefined => {
  if (isServer) return ofServer(socket)
  const info = socket.getEphemeralKeyInfo()
  if (info === null) return undefined
  if ("name" in info && typeof info.name === "string") return info.name
  return "type" in info && typeof info.type === "string" ? info.type : undefined
}
