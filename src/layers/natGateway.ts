/**
 * The port mapping library as this program uses it: one attempt at one gateway at a time. The library's own renewal is not used, because it
 * cannot be told when it fails; nor is its way of ending a NAT-PMP mapping, which never ends.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Fs from "node:fs/promises"
import * as Net from "node:net"
import * as Os from "node:os"
import type { IpEndpoint } from "../schema/IpEndpoint.ts"
import {
  type MappingProtocol,
  MappingRefused,
  NoGateway,
  type PortMappingErrorReason
} from "../services/PortMapping.ts"

/** What is used of a gateway of the library. */
interface LibraryGateway {
  readonly host: string
  readonly family: "IPv4" | "IPv6"
  readonly map: (
    port: number,
    host: string,
    options: { protocol: "tcp"; ttl: number; autoRefresh: false; description: string; signal: AbortSignal }
  ) => Promise<{ readonly externalHost: string; readonly externalPort: number }>
  readonly unmap: (port: number, options: { signal: AbortSignal }) => Promise<void>
  /**
   * By UPnP alone, and not in the library's types: notes a mapping, for `unmap` takes back nothing but what is noted. The library notes one
   * when the gateway has answered.
   */
  readonly addMapping?: (port: number, mapping: object) => void
  readonly stop: () => Promise<void>
}

/** What is used of the library `@achingbrain/nat-port-mapper` 4. */
export interface NatLibrary {
  readonly upnpNat: () => {
    readonly findGateways: (options: { signal: AbortSignal }) => AsyncGenerator<LibraryGateway, void, unknown>
    readonly getGateway: (descriptor: URL, options: { signal: AbortSignal }) => Promise<LibraryGateway>
  }
  readonly pmpNat: (address: string) => LibraryGateway
}

/** A gateway that can map ports. */
export interface NatGateway {
  readonly protocol: MappingProtocol
  /** Maps the TCP port, or renews its mapping; where it can be dialled. */
  readonly map: (port: number, lease: number) => Effect.Effect<IpEndpoint, PortMappingErrorReason>
  /** Takes the mapping back, as far as the gateway agrees; also one that was asked for without an answer. Nothing when it was refused. */
  readonly unmap: (port: number) => Effect.Effect<void, PortMappingErrorReason>
}

const description = "effect-causeway"

const detailOf = (cause: unknown): string => {
  const deeper = cause instanceof Error && cause.cause instanceof Error ? `: ${cause.cause.message}` : ""
  return `${cause instanceof Error ? cause.message : String(cause)}${deeper}`
}

/** The address of this machine in the gateway's network: where the gateway is to send to. */
const towards = (gateway: string): string | undefined => {
  const own = Object.values(Os.networkInterfaces()).flatMap((addresses) => addresses ?? [])
    .filter(({ family }) => family === "IPv4")
  const near = own.find(({ address, cidr }) => {
    const network = new Net.BlockList()
    network.addSubnet(address, Number(cidr?.split("/")[1] ?? 32))
    return network.check(gateway)
  })
  return (near ?? own.find(({ internal }) => !internal))?.address
}

/** `ttlOf`: the library takes the lease of UPnP in milliseconds, and that of NAT-PMP in seconds. */
const gatewayOf = (
  gateway: LibraryGateway,
  protocol: MappingProtocol,
  ttlOf: (lease: number) => number
): NatGateway => {
  const refused = (cause: unknown) => new MappingRefused({ protocol, detail: detailOf(cause) })
  /** A mapping was asked for, and nobody knows what became of it. */
  let isUnanswered = false
  const map = (port: number, lease: number) =>
    Effect.suspend(() => {
      const host = towards(gateway.host)
      if (host === undefined) return Effect.fail(refused("this machine has no address in its network"))
      return Effect.tryPromise({
        try: async (signal) => {
          isUnanswered = true
          const options = {
            protocol: "tcp" as const,
            ttl: ttlOf(lease),
            autoRefresh: false as const,
            description,
            signal
          }
          const mapped = await gateway.map(port, host, options)
          isUnanswered = false
          return mapped
        },
        catch: (cause) => {
          if (cause instanceof Error && cause.name === "UPnPError") isUnanswered = false
          return refused(cause)
        }
      })
    })
  /** By UPnP. */
  const remove = (port: number, signal: AbortSignal) => {
    if (isUnanswered && gateway.family === "IPv4") gateway.addMapping?.(port, {})
    isUnanswered = false
    return gateway.unmap(port, { signal })
  }
  return {
    protocol,
    map: (port, lease) =>
      Effect.map(map(port, lease), ({ externalHost, externalPort }) => ({ host: externalHost, port: externalPort })),
    unmap: (port) =>
      protocol === "NAT-PMP"
        ? Effect.asVoid(map(port, 0))
        : Effect.tryPromise({ try: (signal) => remove(port, signal), catch: refused })
  }
}

/** The gateway that describes itself at this URL, or the first that is found. */
export const upnp = (library: NatLibrary, descriptor: string | undefined): Effect.Effect<NatGateway, NoGateway> =>
  Effect.tryPromise({
    try: async (signal) => {
      const client = library.upnpNat()
      if (descriptor !== undefined) return await client.getGateway(new URL(descriptor), { signal })
      for await (const gateway of client.findGateways({ signal })) if (gateway.family === "IPv4") return gateway
      throw new Error("none was found")
    },
    catch: (cause) => new NoGateway({ detail: `UPnP: ${detailOf(cause)}` })
  }).pipe(Effect.map((gateway) => gatewayOf(gateway, "UPnP", (lease) => lease)))

/** The gateway at this address, or at the end of the default route. Its socket is open until the scope closes. */
export const natPmp = (
  library: NatLibrary,
  address: string | undefined
): Effect.Effect<NatGateway, NoGateway, Scope.Scope> =>
  Effect.gen(function*() {
    const host = address ?? (yield* defaultRoute)
    if (host === undefined) return yield* new NoGateway({ detail: "NAT-PMP: the default route is not known" })
    const gateway = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const opened = library.pmpNat(host)
        // Without a listener an error of its socket, such as its one port being taken, would end the process.
        if ("on" in opened && typeof opened.on === "function") opened.on("error", () => {})
        return opened
      }),
      // Without mappings that renew themselves it takes none back: it only closes the socket.
      (opened) => Effect.ignore(Effect.tryPromise(() => opened.stop()))
    )
    return gatewayOf(gateway, "NAT-PMP", (lease) => Math.ceil(lease / 1_000))
  })

/** Linux' table of routes: destination and gateway are little-endian hexadecimal. */
export const defaultRouteOf = (table: string): string | undefined => {
  for (const line of table.split("\n").slice(1)) {
    const [, destination, gateway] = line.split(/\s+/)
    if (destination !== "00000000" || gateway === undefined || !/^[0-9A-F]{8}$/i.test(gateway)) continue
    const bytes = gateway.match(/../g)?.toReversed() ?? []
    if (gateway !== "00000000") return bytes.map((byte) => Number.parseInt(byte, 16)).join(".")
  }
  return undefined
}

const defaultRoute: Effect.Effect<string | undefined> = Effect.tryPromise(() => Fs.readFile("/proc/net/route", "utf8"))
  .pipe(Effect.map(defaultRouteOf), Effect.orElseSucceed(() => undefined))
