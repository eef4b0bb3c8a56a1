/**
 * `PortMapping` by UPnP, then NAT-PMP, with the optional library `@achingbrain/nat-port-mapper`, which is loaded when this layer is built
 * and not before. One fiber for each port finds a gateway, maps, renews and begins again; a gateway is looked for anew each time.
 *
 * Nothing stays behind at a gateway: what an attempt may have made is taken back before anything else is tried, whether the gateway has
 * answered or not. While a mapping lasts, it alone is renewed, by the protocol that made it.
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
  type PortMappingErrorReason
} from "../services/PortMapping.ts"
import { type PortMappingSettingsInvalid, validPortMappingSettings } from "../services/PortMappingSettings.ts"
import { monotonicMillis } from "./monotonicMillis.ts"
import * as natGateway from "./natGateway.ts"

/** A protocol that is not switched off. */
interface Way {
  readonly protocol: natGateway.NatGateway["protocol"]
  readonly gateway: Effect.Effect<natGateway.NatGateway, NoGateway, Scope.Scope>
}

interface Mapping {
  readonly endpoint: IpEndpoint
  readonly expiresAt: number
  readonly way: Way
  readonly undo: Effect.Effect<void>
}

/** A port, and the mapping of it that was made last, until it is taken back. */
interface Port {
  readonly number: number
  mapping: Mapping | undefined
}

/**
 * The layer with another way to load the library, for tests.
 *
 * @internal
 */
export const layerWith = (
  load: () => Promise<natGateway.NatLibrary>
): Layer.Layer<PortMapping, PortMapperMissing | PortMappingSettingsInvalid> =>
  Layer.effect(
    PortMapping,
    Effect.gen(function*() {
      const numbers = yield* validPortMappingSettings
      const now = monotonicMillis(yield* Clock.Clock)
      const library = yield* Effect.tryPromise({
        try: load,
        catch: (cause) =>
          new PortMapperMissing({ detail: String(cause instanceof Error ? cause.message : cause).split("\n")[0]! })
      })

      const ways: ReadonlyArray<Way> = [
        ...(numbers.upnp === false ?
          [] :
          [{ protocol: "UPnP" as const, gateway: natGateway.upnp(library, numbers.upnp) }]),
        ...(numbers.natPmp === false ?
          [] :
          [{ protocol: "NAT-PMP" as const, gateway: natGateway.natPmp(library, numbers.natPmp) }])
      ]

      /** One attempt at one gateway. Unless it renews a mapping, which lasts without it, what it may have made is taken back when it fails. */
      const attempt = (port: Port, way: Way): Effect.Effect<Mapping, PortMappingErrorReason> =>
        Effect.uninterruptibleMask((restore) => {
          let undo: Effect.Effect<void> | undefined
          const asked = Effect.gen(function*() {
            const found = yield* way.gateway
            // The library knows what it has mapped by UPnP. Its socket for NAT-PMP does not stay open so long.
            const unmap = way.protocol === "UPnP"
              ? found.unmap(port.number)
              : Effect.scoped(Effect.flatMap(way.gateway, (again) => again.unmap(port.number)))
            // From here on the gateway may have mapped the port, whatever becomes of its answer.
            undo = unmap.pipe(
              Effect.timeoutOption(numbers.unmapTimeout),
              Effect.catchCause((cause) =>
                Effect.logDebug(`The mapping of port ${port.number} could not be taken back`, cause)
              ),
              Effect.asVoid
            )
            const askedAt = now()
            const endpoint = yield* found.map(port.number, numbers.lease)
            if (addressClass(endpoint.host) === "public") {
              return { endpoint, way, undo, expiresAt: askedAt + numbers.lease }
            }
            return yield* new OutsidePrivate({ protocol: way.protocol, address: endpoint.host })
          }).pipe(
            Effect.scoped,
            Effect.timeoutOrElse({
              duration: numbers.attemptTimeout,
              orElse: () => Effect.fail(new NoGateway({ detail: `none within ${numbers.attemptTimeout / 1_000} s` }))
            })
          )
          return restore(asked).pipe(
            Effect.onError(() => port.mapping === undefined && undo !== undefined ? undo : Effect.void),
            Effect.tap((made) => {
              const isNew = port.mapping === undefined
              port.mapping = made
              const { endpoint: { host, port: outside } } = made
              return isNew
                ? Effect.logInfo(`Port ${port.number} is mapped at ${host}:${outside} (${way.protocol})`)
                : Effect.void
            })
          )
        })

      const takeBack = (port: Port): Effect.Effect<void> =>
        Effect.suspend(() => {
          const { mapping } = port
          port.mapping = undefined
          return mapping === undefined ? Effect.void : mapping.undo
        }).pipe(Effect.uninterruptible)

      const round = (port: Port): Effect.Effect<Mapping, PortMappingError> =>
        Effect.gen(function*() {
          const { mapping } = port
          if (mapping !== undefined && now() < mapping.expiresAt) return yield* attempt(port, mapping.way)
          // What has run out here may last at the gateway.
          yield* takeBack(port)
          const none: Effect.Effect<Mapping, PortMappingErrorReason> = Effect.fail(
            new NoGateway({ detail: "both protocols are switched off in the settings" })
          )
          const attempts = ways.map((way) => attempt(port, way))
          // What a gateway has answered says more than that another way has led to none.
          return yield* attempts.length === 0 ? none : attempts.reduce((first, next) =>
            Effect.catch(
              first,
              (error) =>
                Effect.mapError(
                  next,
                  (other) => other._tag === "NoGateway" && error._tag !== "NoGateway" ? error : other
                )
            )
          )
        }).pipe(Effect.mapError((reason) => new PortMappingError({ port: port.number, reason })))

      const map = Effect.fn("PortMapping.map")(function*(number: number) {
        const state = yield* SubscriptionRef.make<MappingState>({ _tag: "Searching" })
        const port: Port = { number, mapping: undefined }
        let pause = numbers.retryMin
        // Registered before the fiber is, and so run after it has ended.
        yield* Effect.addFinalizer(() => takeBack(port))
        const step = Effect.matchEffect(round(port), {
          onSuccess: Effect.fnUntraced(function*({ endpoint, way: { protocol } }: Mapping) {
            pause = numbers.retryMin
            yield* SubscriptionRef.set(state, { _tag: "Mapped", endpoint, protocol })
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
          endpoints: () => port.mapping !== undefined && now() < port.mapping.expiresAt ? [port.mapping.endpoint] : [],
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
export const layer: Layer.Layer<PortMapping, PortMapperMissing | PortMappingSettingsInvalid> = layerWith(() =>
  import("@achingbrain/nat-port-mapper")
)
