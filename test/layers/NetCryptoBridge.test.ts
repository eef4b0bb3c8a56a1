/** The bridge, and that the layers above and below it know nothing of each other. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import * as Fs from "node:fs"
import * as ConnectionRegistryLive from "../../src/layers/ConnectionRegistryLive.ts"
import * as NetCryptoBridgeLive from "../../src/layers/NetCryptoBridgeLive.ts"
import { NetCryptoBridge } from "../../src/services/NetCryptoBridge.ts"
import { fakeRelayClient, FakeRelays, frame, key, relayAt } from "../utils/FakeLinks.ts"

const source = (file: string): string => Fs.readFileSync(new URL(`../../src/${file}`, import.meta.url), "utf8")

/** Every file of ours that a file imports, types included, and what those import in turn. */
const importsOf = (file: string, found = new Set<string>()): ReadonlySet<string> => {
  for (const [, path] of source(file).matchAll(/(?:from|import) "(\.[^"]+)"/g)) {
    const imported = new URL(path!, `file:///${file}`).pathname.slice(1)
    if (found.has(imported)) continue
    found.add(imported)
    importsOf(imported, found)
  }
  return found
}

const registry = [
  "layers/ConnectionRegistryLive.ts",
  "protocol/registry/ConnectionTable.ts",
  "protocol/registry/PeerSlots.ts"
]
const relayClient = [
  ...[
    "layers/RelayClientLive.ts",
    "layers/relaySession.ts",
    "protocol/relay/ClientLink.ts",
    "protocol/relay/RelayIds.ts"
  ],
  "protocol/relay/RelayInbound.ts"
]
const netCrypto = [
  "layers/NetCryptoLive.ts",
  "protocol/net-crypto/CryptoPeer.ts",
  "protocol/net-crypto/CryptoSession.ts"
]

describe("NetCryptoBridgeLive", () => {
  it("T04: relay client, registry and net_crypto do not know each other, neither directly nor through others", () => {
    const knows = (from: ReadonlyArray<string>, whom: ReadonlyArray<string>) =>
      from.flatMap((file) => whom.filter((other) => importsOf(file).has(other)).map((other) => `${file} -> ${other}`))
    const registryService = [...registry, "services/ConnectionRegistry.ts"]
    const clientService = [...relayClient, "services/RelayClient.ts", "protocol/relay/RelayLink.ts"]
    assert.deepStrictEqual(knows(relayClient, [...registryService, ...netCrypto, "protocol/registry/PeerPath.ts"]), [])
    assert.deepStrictEqual(knows(registry, [...relayClient, ...netCrypto, "services/NetCrypto.ts"]), [])
    assert.deepStrictEqual(knows(netCrypto, [...registryService, ...clientService]), [])
    // The bridge is where registry and net_crypto meet, by their contracts alone.
    assert.isTrue(importsOf("layers/NetCryptoBridgeLive.ts").has("services/ConnectionRegistry.ts"))
    assert.deepStrictEqual(knows(["layers/NetCryptoBridgeLive.ts"], [...registry, ...netCrypto, ...relayClient]), [])
  })

  it.effect("T40: over many relays, net_crypto sees one path to each peer and one receiver for everything else", () =>
    Effect.gen(function*() {
      const relays = new FakeRelays()
      const layer = NetCryptoBridgeLive.layer.pipe(
        Layer.provide(ConnectionRegistryLive.layer),
        Layer.provide(fakeRelayClient(relays))
      )
      yield* Effect.gen(function*() {
        const bridge = yield* NetCryptoBridge
        const log: Array<string> = []
        bridge.attach({
          onUnboundPacket: (sender, bytes, route) =>
            log.push(`unbound ${sender[0]} ${bytes.join()} ${route.relay.host} ${route.reply(Uint8Array.of(7))}`),
          onBatchEnd: () => log.push("batch")
        })
        const path = bridge.open(key(1), {
          onPacket: (bytes, route) => log.push(`packet ${bytes.join()} ${route.relay.host}`),
          onCarrierChange: () => log.push("carrier"),
          onWritable: () => log.push("writable")
        })
        assert.throws(() =>
          bridge.open(key(1), { onPacket: () => {}, onCarrierChange: () => {}, onWritable: () => {} })
        )
        for (const n of [1, 2, 3]) path.tie(relayAt(n))
        yield* TestClock.adjust(0)
        const links = [1, 2, 3].map((n) => relays.confirm(n))
        for (const link of links) link.bring(1)
        assert.deepStrictEqual(log, ["writable", "carrier"])
        for (const link of links) {
          assert.strictEqual(path.send(frame(5), 2, false), "sent")
          link.receive(16, 6)
          link.receiveOob(9, 8)
          link.batchEnd()
          link.lose()
        }
        assert.deepStrictEqual(links.map((link) => link.data.length), [1, 1, 1])
        assert.deepStrictEqual(
          log.slice(2),
          [1, 2, 3].flatMap((n) => [
            `packet 6 relay-${n}.test`,
            `unbound 9 8 relay-${n}.test true`,
            "batch",
            "carrier"
          ])
        )
        assert.strictEqual(path.send(frame(5), 2, false), "unreachable")
        assert.deepStrictEqual(relays.violations, [])
      }).pipe(Effect.provide(layer))
    }))
})
