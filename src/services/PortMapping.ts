import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { IpEndpoint } from "../schema/IpEndpoint.ts"

/** By which protocol a gateway maps ports. */
export const MappingProtocol = Schema.Literals(["UPnP", "NAT-PMP"])
export type MappingProtocol = typeof MappingProtocol.Type

/** Nobody has answered who maps ports. */
export class NoGateway extends Schema.TaggedError<NoGateway>()("NoGateway", { detail: Schema.String }) {
  override get message(): string {
    return `no gateway that maps ports has answered: ${this.detail}; it may be switched off in the router's settings`
  }
}

/** The gateway has answered, and not mapped the port. */
export class MappingRefused extends Schema.TaggedError<MappingRefused>()("MappingRefused", {
  protocol: MappingProtocol,
  detail: Schema.String
}) {
  override get message(): string {
    return `the gateway does not map ports: ${this.protocol}: ${this.detail}`
  }
}

/** The gateway has mapped the port at an address that is no good outside: there is another gateway behind it. */
export class OutsidePrivate extends Schema.TaggedError<OutsidePrivate>()("OutsidePrivate", {
  protocol: MappingProtocol,
  address: Schema.String
}) {
  override get message(): string {
    return `the gateway has mapped the port at ${this.address}, which nobody outside can dial: the gateway is behind another one, ` +
      "as with many mobile and cable networks; peers have to call by relays, or listen themselves"
  }
}

/** Why a port is not mapped. */
export const PortMappingErrorReason = Schema.Union([NoGateway, MappingRefused, OutsidePrivate])
export type PortMappingErrorReason = typeof PortMappingErrorReason.Type

/** Why a port is not mapped. Nothing ends with it: it is tried again. */
export class PortMappingError extends Schema.TaggedError<PortMappingError>()("PortMappingError", {
  /** The port of this machine. */
  port: Schema.Int,
  reason: PortMappingErrorReason
}) {
  override get message(): string {
    return `port ${this.port} is not mapped: ${this.reason.message}`
  }
}

/** The library that maps ports is not installed, or does not load. */
export class PortMapperMissing extends Schema.TaggedError<PortMapperMissing>()("PortMapperMissing", {
  /** What the loader said, one line. */
  detail: Schema.String
}) {
  override get message(): string {
    return `port mapping needs a library that could not be loaded (${this.detail}); install it with ` +
      "`npm install @achingbrain/nat-port-mapper@4`, or leave port mapping out"
  }
}

/** Where the mapping of a port stands. Times are milliseconds. */
export type MappingState =
  | { readonly _tag: "Searching" }
  | { readonly _tag: "Mapped"; readonly endpoint: IpEndpoint; readonly protocol: MappingProtocol }
  /** What was mapped before may last a little longer. */
  | { readonly _tag: "Failed"; readonly error: PortMappingError; readonly retryIn: number }

/** One port's mapping. */
export interface MappedPort {
  /** Where the port can be dialled from outside now, to be told to peers; none before it is mapped, and after the mapping has run out. */
  readonly endpoints: () => ReadonlyArray<IpEndpoint>
  /** The present state, then every change. */
  readonly states: Stream.Stream<MappingState>
}

/**
 * Asks the gateway of the local network to lead one of its TCP ports to one of ours. Entirely optional: whoever listens looks whether there
 * is one (`mappedEndpoints`).
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import { PortMapping } from "effect-causeway"
 *
 * const mapped = Effect.flatMap(PortMapping, (mapping) => mapping.map(33_445))
 * ```
 */
export class PortMapping extends Context.Service<PortMapping, {
  /**
   * Keeps the TCP port mapped until the scope closes, which takes the mapping back. Does not wait, and never fails: whatever goes wrong is
   * logged, told in `states`, and tried again.
   */
  readonly map: (port: number) => Effect.Effect<MappedPort, never, Scope.Scope>
}>()("causeway/services/PortMapping") {}

/** For whoever listens at a port: maps it when there is a `PortMapping`, and tells where it can be dialled from outside at any moment. */
export const mappedEndpoints = (
  port: number
): Effect.Effect<() => ReadonlyArray<IpEndpoint>, never, Scope.Scope> =>
  Effect.flatMap(
    Effect.serviceOption(PortMapping),
    Option.match({
      onNone: () => Effect.succeed((): ReadonlyArray<IpEndpoint> => []),
      onSome: (mapping) => Effect.map(mapping.map(port), ({ endpoints }) => endpoints)
    })
  )
