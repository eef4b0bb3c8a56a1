/**
 * Which of the endpoints that a peer names may be dialled, and which of our own it is told (design, "Direct links"). A list from outside
 * must not make us knock at doors of the network that we happen to be in. It never dials.
 */
import { maxEndpoints } from "../../schema/DirectPacket.ts"
import { type IpEndpoint, ipFromBytes, ipToBytes } from "../../schema/IpEndpoint.ts"
import { type AddressClass, addressClass } from "../registry/addressClass.ts"

/** `::ffff:0:0/96`: an IPv4 address in the clothes of an IPv6 one. */
const isMapped = (bytes: Uint8Array): boolean =>
  bytes.length === 16 && bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff

/** The same address by the one name that it has here: canonical, and IPv4 where it is IPv4. Undefined: no IP address. */
const plainHost = (host: string): string | undefined => {
  const bytes = ipToBytes(host)
  return bytes && ipFromBytes(isMapped(bytes) ? bytes.subarray(12) : bytes)
}

const plain = ({ host, port }: IpEndpoint): IpEndpoint | undefined => {
  const found = plainHost(host)
  return found === undefined || !Number.isInteger(port) || port < 1 || port > 0xffff ? undefined : { host: found, port }
}

const keyOf = ({ host, port }: IpEndpoint): string => `${host} ${port}`

/** The endpoints once each and by their plain names, without those that are `left` out already. Port 0 and names go. */
const distinct = (endpoints: ReadonlyArray<IpEndpoint>, left: ReadonlyArray<IpEndpoint>): Array<IpEndpoint> => {
  const seen = new Set(left.flatMap((endpoint) => plain(endpoint) ?? []).map(keyOf))
  return endpoints.flatMap((endpoint) => {
    const found = plain(endpoint)
    if (found === undefined || seen.has(keyOf(found))) return []
    seen.add(keyOf(found))
    return [found]
  })
}

/** What an endpoint list is judged by. */
export interface EndpointRules {
  /** Whether private and loopback addresses may be dialled. */
  readonly allowPrivate: boolean
  /** Where we listen ourselves: a peer that names it would have us call ourselves. */
  readonly own: ReadonlyArray<IpEndpoint>
}

/** The endpoints of a peer's list that may be dialled: at most 8, each once, in the peer's order. */
export const dialable = (endpoints: ReadonlyArray<IpEndpoint>, rules: EndpointRules): ReadonlyArray<IpEndpoint> =>
  distinct(endpoints, rules.own).filter(({ host }) => {
    const found = addressClass(host)
    return found === "public" || (found === "private" && rules.allowPrivate)
  }).slice(0, maxEndpoints)

/** All endpoints of one attempt in the order of dialling: those that the application knows, whatever their class, then the peer's own. */
export const toDial = (
  known: ReadonlyArray<IpEndpoint>,
  named: ReadonlyArray<IpEndpoint>,
  rules: EndpointRules
): ReadonlyArray<IpEndpoint> => {
  const first = distinct(known, [])
  return [...first, ...distinct(dialable(named, rules), first)]
}

/** fe80::/10 is of no use without the interface, which no peer can know. */
const isLinkLocal6 = (bytes: Uint8Array): boolean =>
  bytes.length === 16 && bytes[0] === 0xfe && (bytes[1]! & 0xc0) === 0x80

const ranks: Readonly<Record<AddressClass, number>> = { public: 0, private: 1, nowhere: 3 }
const isLoopback = (host: string): boolean => host === "::1" || host.startsWith("127.")
const rankOf = (host: string): number => isLoopback(host) ? 2 : ranks[addressClass(host)]

/**
 * Where we can be dialled: the bound address, or, when that stands for all of them, those of the machine's interfaces. Global ones go
 * first, loopback last, IPv4 before IPv6; at most 8.
 */
export const offered = (
  bound: { readonly host: string; readonly port: number },
  interfaces: ReadonlyArray<string>
): ReadonlyArray<IpEndpoint> => {
  const bytes = ipToBytes(bound.host)
  const isWildcard = bytes === undefined ? bound.host === "" : bytes.every((byte) => byte === 0)
  // A socket bound to all IPv4 addresses has none of the others; one bound to `::` takes IPv4 as well.
  const onlyIpv4 = isWildcard && bytes?.length === 4
  const hosts = isWildcard ? interfaces : [bound.host]
  const found = hosts.filter((host) => {
    const address = ipToBytes(host)
    return address !== undefined && !isLinkLocal6(address) && !(onlyIpv4 && address.length === 16 && !isMapped(address))
  })
  const weight = ({ host }: IpEndpoint) => 2 * rankOf(host) + (host.includes(":") ? 1 : 0)
  return distinct(found.map((host) => ({ host, port: bound.port })), [])
    .filter(({ host }) => addressClass(host) !== "nowhere")
    .sort((a, b) => weight(a) - weight(b))
    .slice(0, maxEndpoints)
}
