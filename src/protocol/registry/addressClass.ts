/**
 * Whether an address that a peer told us may be dialled (reliability, "poisoned relay lists"). A list from outside must not make us knock
 * at doors of the network that we happen to be in. Addresses that the application or a ticket names are not judged here.
 */
import { ipToBytes } from "../../schema/IpEndpoint.ts"
import type { RelayAddress } from "../../schema/RelayAddress.ts"

/** A range of addresses: the leading bytes and how many bits of them count. */
type Range = readonly [prefix: ReadonlyArray<number>, bits: number]

/** Never the address of a relay: unspecified, multicast, reserved, broadcast. */
const nowhere4: ReadonlyArray<Range> = [[[0], 8], [[224], 4], [[240], 4]]
/** Loopback, private, shared, link-local, for tests and documentation (the registry of special IPv4 addresses, RFC 6890). */
const private4: ReadonlyArray<Range> = [
  [[10], 8],
  [[100, 64], 10],
  [[127], 8],
  [[169, 254], 16],
  [[172, 16], 12],
  [[192, 0, 0], 24],
  [[192, 0, 2], 24],
  [[192, 88, 99], 24],
  [[192, 168], 16],
  [[198, 18], 15],
  [[198, 51, 100], 24],
  [[203, 0, 113], 24]
]
const global6: ReadonlyArray<Range> = [[[0x20], 3]]
/** Inside the global range: protocol assignments with Teredo, documentation, and 6to4, which hides an IPv4 address. */
const special6: ReadonlyArray<Range> = [
  [[0x20, 0x01, 0x00], 23],
  [[0x20, 0x01, 0x0d, 0xb8], 32],
  [[0x20, 0x02], 16],
  [[0x3f, 0xff, 0x00], 20]
]
const multicast6: ReadonlyArray<Range> = [[[0xff], 8]]
const mapped: Range = [[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff], 96]

export type AddressClass = "public" | "private" | "nowhere"

/** The class of an IP literal. A name is `private`: nobody knows where it leads before it has been asked for. */
export const addressClass = (host: string): AddressClass => {
  const bytes = ipToBytes(host)
  if (bytes === undefined) return "private"
  if (bytes.length === 4) return classOf4(bytes)
  // The same door by another name.
  if (isIn(bytes, [mapped])) return classOf4(bytes.subarray(12))
  if (isIn(bytes, multicast6) || bytes.every((byte) => byte === 0)) return "nowhere"
  return isIn(bytes, global6) && !isIn(bytes, special6) ? "public" : "private"
}

/** Whether a relay that a peer told us of may be dialled. */
export const isDialable = ({ host, port, publicKey }: RelayAddress, allowPrivate: boolean): boolean => {
  if (!Number.isInteger(port) || port < 1 || port > 65_535 || publicKey.length !== 32) return false
  const found = addressClass(host)
  return found === "public" || (found === "private" && allowPrivate)
}

const classOf4 = (bytes: Uint8Array): AddressClass =>
  isIn(bytes, nowhere4) ? "nowhere" : isIn(bytes, private4) ? "private" : "public"

const isIn = (bytes: Uint8Array, ranges: ReadonlyArray<Range>): boolean =>
  ranges.some(([prefix, bits]) =>
    prefix.every((byte, at) => {
      const mask = 0xff << Math.max(0, 8 * (at + 1) - bits) & 0xff
      return (bytes[at]! & mask) === (byte & mask)
    })
  )
