/**
 * `PortMapping` by UPnP, then NAT-PMP, with the optional library `@achingbrain/nat-port-mapper`, which is loaded when this layer is built
 * and not before. One fiber for each port finds a gateway, maps, renews and begins again; a gateway is looked for anew each time.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { addressClass } from "../protocol/registry/addressClass.ts"
import type { IpEndpoint } from "../schema/IpEndpoint.ts"
import {
  type MappingState,
  NoGateway,
  OutsidePrivate,
  PortMapperMissing,
  PortMapping,
  PortMappingError,
  type PortMappingErrorReason,
  PortMappingSettings
} from "../services/PortMapping.ts"
import { monotonicMillis } from "./monotonicMillis.ts"
import * as natGateway from "./natGateway.ts"

interface Mapping {
  readonly endpoint: IpEndpoint
  readonly expiresAt: number
  readonly protocol: natGateway.NatGateway["protocol"]
  readonly unmap: Effect.Effect<unknown, PortMappingErrorReason>
}

/** The layer with another way to load the library. */
export const layerWith = (load: () => Promise<natGateway.NatLibrary>): Layer.Layer<PortMapping, PortMapperMissing> =>
  Layer.effect(
    PortMapping,
    Effect.gen(function*() {
      const numbers = yield* PortMappingSettings
      const now = monotonicMillis(yield* Clock.Clock)
      const library = yield* Effect.tryPromise({
        try: load,
        catch: (cause) =>
          new PortMapperMissing({ detail: String(cause instanceof Error ? cause.message : cause).split("\n")[0]! })
      })

      /** One attempt at one gateway. */
      const attempt = (
        port: number,
        gateway: Effect.Effect<natGateway.NatGateway, NoGateway, Scope.Scope>
      ): Effect.Effect<Mapping, PortMappingErrorReason> =>
        Effect.gen(function*() {
          const found = yield* gateway
          const { protocol } = found
          const askedAt = now()
          const endpoint = yield* found.map(port, numbers.lease)
          // The library knows what it has mapped by UPnP. Its socket for NAT-PMP does not stay open so long.
          const unmap = protocol === "UPnP"
            ? found.unmap(port)
            : Effect.scoped(Effect.flatMap(gateway, (again) => again.unmap(port)))
          if (addressClass(endpoint.host) === "public") {
            return { endpoint, protocol, unmap, expiresAt: askedAt + numbers.lease }
          }
          yield* Effect.ignore(unmap)
          return yield* new OutsidePrivate({ protocol, address: endpoint.host })
        }).pipe(
          Effect.scoped,
          Effect.timeoutOrElse({
            duration: numbers.attemptTimeout,
            orElse: () => Effect.fail(new NoGateway({ detail: `none within ${numbers.attemptTimeout / 1_000} s` }))
          })
        )

      const round = (port: number): Effect.Effect<Mapping, PortMappingError> => {
        const { natPmp, upnp } = numbers
        const ways = [
          ...(upnp === false ? [] : [attempt(port, natGateway.upnp(library, upnp))]),
          ...(natPmp === false ? [] : [attempt(port, natGateway.natPmp(library, natPmp))])
        ]
        const none: Effect.Effect<Mapping, PortMappingErrorReason> = Effect.fail(
          new NoGateway({ detail: "both protocols are switched off in the settings" })
        )
        // What a gateway has answered says more than that another way has led to none.
        const all = ways.length === 0 ?
          none :
          ways.reduce((first, next) =>
            Effect.catch(
              first,
              (error) =>
                Effect.mapError(
                  next,
                  (other) => other._tag === "NoGateway" && error._tag !== "NoGateway" ? error : other
                )
            )
          )
        return Effect.mapError(all, (reason) => new PortMappingError({ port, reason }))
      }

      const map = Effect.fn("PortMapping.map")(function*(port: number) {
        const state = yield* SubscriptionRef.make<MappingState>({ _tag: "Searching" })
        let mapping: Mapping | undefined
        let pause = numbers.retryMin
        // Registered before the fiber is, and so run after it has ended.
        yield* Effect.addFinalizer(() =>
          mapping === undefined
            ? Effect.void
            : mapping.unmap.pipe(
              Effect.timeoutOption(numbers.unmapTimeout),
              Effect.catchCause((cause) =>
                Effect.logDebug(`The mapping of port ${port} could not be taken back`, cause)
              )
            )
        )
        const step = Effect.matchEffect(round(port), {
          onSuccess: Effect.fnUntraced(function*(made: Mapping) {
            if (mapping === undefined) {
              yield* Effect.logInfo(
                `Port ${port} is mapped at ${made.endpoint.host}:${made.endpoint.port} (${made.protocol})`
              )
            }
            mapping = made
            pause = numbers.retryMin
            yield* SubscriptionRef.set(state, { _tag: "Mapped", endpoint: made.endpoint, protocol: made.protocol })
            yield* Effect.sleep(numbers.lease / 2)
          }),
          onFailure: Effect.fnUntraced(function*(error: PortMappingError) {
            const retryIn = pause
            pause = Math.min(2 * pause, numbers.retryMax)
            yield* Effect.logWarning(`${error.message}; again in ${Math.round(retryIn / 1_000)} s`)
            yield* SubscriptionRef.set(state, { _tag: "Failed", error, retryIn })
            yield* Effect.sleep(retryIn)
          })
        })
        yield* Effect.forever(step).pipe(
          Effect.tapDefect((defect) => Effect.logError("The fiber that maps a port died", defect)),
          Effect.forkScoped
        )
        return {
          endpoints: () => mapping !== undefined && now() < mapping.expiresAt ? [mapping.endpoint] : [],
          states: SubscriptionRef.changes(state)
        }
      })

      return PortMapping.of({ map })
    })
  )

/**
 * Port mapping for every port that a node listens at for direct links: provide it to the node. Fails with `PortMapperMissing` when the
 * library is not installed.
 */
export const layer: Layer.Layer<PortMapping, PortMapperMissing> = layerWith(() =>
  import("@achingbrain/nat-port-mapper")
)
