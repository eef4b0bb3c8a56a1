/** The real library for port mapping against gateways on this machine. Time is real. */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Stream from "effect/Stream"
import { describe, expect, it } from "vitest"
import * as DirectLinksLive from "../../src/layers/DirectLinksLive.ts"
import * as DirectTransportNode from "../../src/layers/DirectTransportNode.ts"
import * as EntropyLive from "../../src/layers/EntropyLive.ts"
import * as IdentityFresh from "../../src/layers/IdentityFresh.ts"
import { defaultRouteOf } from "../../src/layers/natGateway.ts"
import * as PortMappingNat from "../../src/layers/PortMappingNat.ts"
import * as ToxCryptoWasm from "../../src/layers/ToxCryptoWasm.ts"
import { DirectLinks } from "../../src/services/DirectLinks.ts"
import { mappedEndpoints, type MappingState, PortMapping } from "../../src/services/PortMapping.ts"
import {
  portMappingConfig,
  type PortMappingNumbers,
  PortMappingSettings
} from "../../src/services/PortMappingSettings.ts"
import { type FakeGateway, natPmpGateway, upnpGateway } from "../utils/fakeGateway.ts"

const run = <A, E>(effect: Effect.Effect<A, E, PortMapping>, numbers: Partial<PortMappingNumbers>): Promise<A> =>
  Effect.gen(function*() {
    const settings = { ...(yield* PortMappingSettings), upnp: false as const, natPmp: false as const, ...numbers }
    return yield* effect.pipe(
      Effect.provide(PortMappingNat.layer),
      Effect.provideService(PortMappingSettings, settings)
    )
  }).pipe(Effect.provide(Logger.layer([])), Effect.runPromise)

/** Maps a port until its state is one of these. */
const until = (port: number, tag: MappingState["_tag"]) =>
  Effect.gen(function*() {
    const mapped = yield* Effect.flatMap(PortMapping, ({ map }) => map(port))
    const last = yield* mapped.states.pipe(Stream.takeUntil((state) => state._tag === tag), Stream.runLast)
    return { endpoints: mapped.endpoints(), state: last._tag === "Some" ? last.value : undefined }
  }).pipe(Effect.scoped)

describe("port mapping", () => {
  it("by UPnP: the outside endpoint is told, and the mapping is taken back with the scope", async () => {
    await using gateway = await upnpGateway()
    const { endpoints, state } = await run(until(4_000, "Mapped"), { upnp: gateway.url })
    expect(endpoints).toEqual([{ host: "5.6.7.8", port: 24_000 }])
    expect(state).toEqual({ _tag: "Mapped", protocol: "UPnP", endpoint: endpoints[0] })
    expect(gateway.asked).toEqual(["AddAnyPortMapping 4000 127.0.0.1 3600", "DeletePortMapping 4000"])
  })

  it("by NAT-PMP: the same, with the lease in seconds", async () => {
    await using gateway = await natPmpGateway("127.0.0.1")
    const { endpoints, state } = await run(until(4_000, "Mapped"), { natPmp: "127.0.0.1" })
    expect(endpoints).toEqual([{ host: "5.6.7.8", port: 14_000 }])
    expect(state).toMatchObject({ protocol: "NAT-PMP" })
    expect(gateway.asked).toEqual(["map 4000 3600", "map 4000 0"])
  })

  it("by NAT-PMP when UPnP refuses", async () => {
    await using refusing = await upnpGateway({ refuses: true })
    await using gateway = await natPmpGateway("127.0.0.1")
    const { state } = await run(until(4_001, "Mapped"), { upnp: refusing.url, natPmp: "127.0.0.1" })
    expect(state).toMatchObject({ protocol: "NAT-PMP" })
    expect([refusing.asked.length, gateway.asked.length]).toEqual([1, 2])
  })

  it("is renewed after half of the lease", async () => {
    await using gateway = await natPmpGateway("127.0.0.1")
    const twice = Effect.gen(function*() {
      const { endpoints } = yield* Effect.flatMap(PortMapping, ({ map }) => map(4_002))
      while (gateway.asked.length < 3) yield* Effect.sleep(20)
      return endpoints()
    }).pipe(Effect.scoped)
    expect(await run(twice, { natPmp: "127.0.0.1", lease: 400 })).toEqual([{ host: "5.6.7.8", port: 14_002 }])
  })

  it("a renewal that fails takes nothing away from the mapping that lasts", async () => {
    await using gateway = await upnpGateway()
    await using other = await natPmpGateway("127.0.0.1", { asked: gateway.asked })
    const renewed = Effect.gen(function*() {
      const { endpoints, states } = yield* Effect.flatMap(PortMapping, ({ map }) => map(4_000))
      yield* states.pipe(Stream.takeUntil(({ _tag }) => _tag === "Mapped"), Stream.runDrain)
      gateway.options.mute = "mapping"
      yield* states.pipe(Stream.takeUntil(({ _tag }) => _tag === "Failed"), Stream.runDrain)
      return endpoints()
    }).pipe(Effect.scoped)
    const settings = { upnp: gateway.url, natPmp: "127.0.0.1", lease: 2_000, attemptTimeout: 200 }
    expect(await run(renewed, settings)).toEqual([{ host: "5.6.7.8", port: 24_000 }])
    expect(gateway.asked.map((asked) => asked.split(" ")[0])).toEqual([
      "AddAnyPortMapping",
      "AddAnyPortMapping",
      "DeletePortMapping"
    ])
    expect(other.asked).toBe(gateway.asked)
  })

  it("a mapping that has run out is taken back before the other protocol is asked", async () => {
    await using gateway = await upnpGateway()
    await using other = await natPmpGateway("127.0.0.1", { asked: gateway.asked })
    const moved = Effect.gen(function*() {
      const { endpoints, states } = yield* Effect.flatMap(PortMapping, ({ map }) => map(4_000))
      yield* states.pipe(Stream.takeUntil(({ _tag }) => _tag === "Mapped"), Stream.runDrain)
      gateway.options.refuses = true
      const by = (state: MappingState) => state._tag === "Mapped" && state.protocol
      yield* states.pipe(Stream.takeUntil((state) => by(state) === "NAT-PMP"), Stream.runDrain)
      return endpoints()
    }).pipe(Effect.scoped)
    const settings = { upnp: gateway.url, natPmp: "127.0.0.1", lease: 400, retryMin: 250 }
    expect(await run(moved, settings)).toEqual([{ host: "5.6.7.8", port: 14_000 }])
    const asked = other.asked.map((line) => line.split(" ").slice(0, 2).join(" "))
    expect(asked.slice(-5)).toEqual([
      "AddAnyPortMapping 4000",
      "DeletePortMapping 4000",
      "AddAnyPortMapping 4000",
      "map 4000",
      "map 4000"
    ])
  })

  it("by NAT-PMP when UPnP maps without an answer: what that may have made is taken back before", async () => {
    await using silent = await upnpGateway({ mute: "mapping" })
    await using gateway = await natPmpGateway("127.0.0.1", { asked: silent.asked })
    const { state } = await run(until(4_000, "Mapped"), {
      upnp: silent.url,
      natPmp: "127.0.0.1",
      attemptTimeout: 200
    })
    expect(state).toMatchObject({ protocol: "NAT-PMP" })
    expect(gateway.asked).toEqual([
      "AddAnyPortMapping 4000 127.0.0.1 3600",
      "DeletePortMapping 4000",
      "map 4000 3600",
      "map 4000 0"
    ])
  })

  /** Closes the scope as soon as the gateway has been asked, and tells how many milliseconds that took. */
  const closedWhileAsked = async (gateway: FakeGateway, numbers: Partial<PortMappingNumbers>): Promise<number> => {
    const asking = Effect.gen(function*() {
      yield* Effect.flatMap(PortMapping, ({ map }) => map(4_000))
      while (gateway.asked.length === 0) yield* Effect.sleep(5)
      return process.hrtime.bigint()
    }).pipe(Effect.scoped)
    const closedAt = await run(asking, numbers)
    return Number(process.hrtime.bigint() - closedAt) / 1e6
  }

  it("closing the scope in the middle of an attempt takes back what it may have made", async () => {
    await using upnp = await upnpGateway({ mute: "mapping" })
    await closedWhileAsked(upnp, { upnp: upnp.url })
    expect(upnp.asked).toEqual(["AddAnyPortMapping 4000 127.0.0.1 3600", "DeletePortMapping 4000"])
    await using natPmp = await natPmpGateway("127.0.0.1", { mute: "mapping" })
    await closedWhileAsked(natPmp, { natPmp: "127.0.0.1" })
    expect(natPmp.asked).toEqual(["map 4000 3600", "map 4000 0"])
  })

  it("a gateway that does not answer at all keeps nobody waiting for longer than is set", async () => {
    await using upnp = await upnpGateway({ mute: "everything" })
    expect(await closedWhileAsked(upnp, { upnp: upnp.url, unmapTimeout: 200 })).toBeLessThan(1_500)
    await using natPmp = await natPmpGateway("127.0.0.1", { mute: "everything" })
    expect(await closedWhileAsked(natPmp, { natPmp: "127.0.0.1", unmapTimeout: 200 })).toBeLessThan(1_500)
    expect([upnp.asked.length, natPmp.asked.length]).toEqual([2, 2])
  })

  it.each([
    [
      { refuses: true },
      "port 4000 is not mapped: the gateway does not map ports: UPnP: Code 725 - OnlyPermanentLeasesSupported"
    ],
    [{ outside: "100.64.1.1" }, "mapped the port at 100.64.1.1, which nobody outside can dial"]
  ])("a gateway with %j is a failure that says so, and is asked again", async (options, message) => {
    await using gateway = await upnpGateway(options)
    const mapped = Effect.gen(function*() {
      const { endpoints, states } = yield* Effect.flatMap(PortMapping, ({ map }) => map(4_000))
      const [failure] = yield* states.pipe(
        Stream.filter(({ _tag }) => _tag === "Failed"),
        Stream.take(1),
        Stream.runCollect
      )
      expect(failure).toMatchObject({ retryIn: 100 })
      expect(failure?._tag === "Failed" && failure.error.message).toContain(message)
      expect(endpoints()).toEqual([])
      gateway.options.refuses = false
      gateway.options.outside = "5.6.7.8"
      yield* states.pipe(Stream.takeUntil(({ _tag }) => _tag === "Mapped"), Stream.runDrain)
      return endpoints()
    }).pipe(Effect.scoped)
    expect(await run(mapped, { upnp: gateway.url, retryMin: 100 })).toEqual([{ host: "5.6.7.8", port: 24_000 }])
  })

  it("a gateway that does not answer, and one that is not there, are failures in time", async () => {
    const started = process.hrtime.bigint()
    const { state } = await run(until(4_000, "Failed"), {
      upnp: "http://127.0.0.1:1/description.xml",
      natPmp: "127.0.0.9",
      attemptTimeout: 300
    })
    expect(state?._tag === "Failed" && state.error.reason._tag).toBe("NoGateway")
    expect(Number(process.hrtime.bigint() - started) / 1e6).toBeLessThan(3_000)
  })

  it("the search for a gateway by UPnP ends in time", async () => {
    const { state } = await run(until(4_000, "Failed"), { upnp: undefined, attemptTimeout: 300 })
    expect(state?._tag === "Failed" && state.error.reason._tag).toBe("NoGateway")
  })

  it("without the library is an error that says what to install", async () => {
    const missing = PortMappingNat.layerWith(() =>
      Promise.reject(new Error("Cannot find package '@achingbrain/nat-port-mapper'"))
    )
    const error = await Effect.runPromise(Effect.flip(Effect.scoped(Layer.build(missing))))
    expect(error).toMatchObject({ _tag: "PortMapperMissing" })
    expect(error.message).toContain("npm install @achingbrain/nat-port-mapper@4")
  })

  it("a listener without the service has no endpoints outside, one with it has those of its port", async () => {
    const without = Effect.scoped(Effect.map(mappedEndpoints(4_000), (endpoints) => endpoints()))
    expect(await Effect.runPromise(without)).toEqual([])
    const endpoint = { host: "5.6.7.8", port: 9 }
    const fake = PortMapping.of({
      map: (port) => Effect.succeed({ endpoints: () => [{ ...endpoint, port }], states: Stream.empty })
    })
    expect(await Effect.runPromise(Effect.provideService(without, PortMapping, fake))).toEqual([{
      ...endpoint,
      port: 4_000
    }])
  })

  it("direct links name the outside endpoint first, and take the mapping back when they end", async () => {
    await using gateway = await upnpGateway()
    const named = Effect.gen(function*() {
      const direct = DirectLinksLive.layer({ listen: { host: "127.0.0.1", port: 0 } }).pipe(
        Layer.provide(Layer.mergeAll(IdentityFresh.layer, DirectTransportNode.layer)),
        Layer.provide(Layer.mergeAll(ToxCryptoWasm.layer, EntropyLive.layer))
      )
      const { endpoints } = Context.get(yield* Layer.build(direct), DirectLinks)
      let found = yield* endpoints
      while (found.length < 2) {
        yield* Effect.sleep(20)
        found = yield* endpoints
      }
      return found
    }).pipe(Effect.scoped)
    const [outside, inside] = await run(named, { upnp: gateway.url })
    expect(outside).toEqual({ host: "5.6.7.8", port: (inside?.port ?? 0) + 20_000 })
    expect(gateway.asked.map((asked) => asked.split(" ")[0])).toEqual(["AddAnyPortMapping", "DeletePortMapping"])
  })

  it("the settings can come from the configuration", async () => {
    const read = (env: Record<string, string>) =>
      Effect.runPromise(portMappingConfig.parse(ConfigProvider.fromEnv({ env })))
    const defaults = Context.get(Context.empty(), PortMappingSettings)
    expect(await read({})).toEqual(defaults)
    const prefix = "CAUSEWAY_PORT_MAPPING_"
    expect(await read({ [`${prefix}LEASE`]: "5000", [`${prefix}UPNP`]: "off", [`${prefix}NAT_PMP`]: "192.0.2.1" }))
      .toEqual({
        ...defaults,
        lease: 5_000,
        upnp: false,
        natPmp: "192.0.2.1"
      })
    await expect(read({ [`${prefix}RETRY_MIN`]: "0" })).rejects.toMatchObject({ _tag: "ConfigError" })
  })

  it("the default route is read from Linux' table", () => {
    const head = "Iface\tDestination\tGateway \tFlags"
    expect(defaultRouteOf(`${head}\neth0\t0002A8C0\t00000000\t0001\neth0\t00000000\t0102A8C0\t0003\n`)).toBe(
      "192.168.2.1"
    )
    for (const table of ["", head, `${head}\neth0\t00000000\t00000000\t0001`, `${head}\neth0\t00000000\tzz\t0003`]) {
      expect(defaultRouteOf(table)).toBeUndefined()
    }
  })
})
