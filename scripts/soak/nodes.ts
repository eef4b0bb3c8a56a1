/**
 * Two whole nodes in this process, joined over relays. Beside their sessions they show what `Peer` hides: the net_crypto connection below,
 * so that it can be torn down, and the relay that carries it.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as CausewayLive from "../../src/layers/CausewayLive.ts"
import * as CausewayNode from "../../src/layers/CausewayNode.ts"
import * as IdentityFresh from "../../src/layers/IdentityFresh.ts"
import type { RelayAddress } from "../../src/schema/RelayAddress.ts"
import { Causeway, type Peer } from "../../src/services/Causeway.ts"
import { ConnectionRegistry, type RelayStatus } from "../../src/services/ConnectionRegistry.ts"
import { Identity } from "../../src/services/Identity.ts"
import { NetCrypto, type NetCryptoConnection, type PeerAddress } from "../../src/services/NetCrypto.ts"
import { type SessionNumbers, SessionSettings } from "../../src/services/SessionSettings.ts"

/** The connections of one node, as they come. */
class Connections {
  private readonly all = new Set<NetCryptoConnection>()

  add(connection: NetCryptoConnection): void {
    this.all.add(connection)
  }

  /** How many there have been. */
  get count(): number {
    return this.all.size
  }

  get latest(): NetCryptoConnection | undefined {
    return Array.from(this.all).at(-1)
  }
}

/** `NetCrypto` as it is, and a note of every connection. */
const noted = (connections: Connections) =>
  Layer.effect(
    NetCrypto,
    Effect.map(NetCrypto, (inner) => {
      const note = Effect.map((connection: NetCryptoConnection) => {
        connections.add(connection)
        return connection
      })
      return NetCrypto.of({ ...inner, connect: (peer) => note(inner.connect(peer)), accept: note(inner.accept) })
    })
  )

const makeNode = Effect.fnUntraced(function*(relays: ReadonlyArray<RelayAddress>, settings: Partial<SessionNumbers>) {
  const connections = new Connections()
  const numbers = { ...(yield* SessionSettings), ...settings }
  const context = yield* Layer.build(Layer.fresh(
    CausewayLive.layer.pipe(
      Layer.provide(noted(connections)),
      Layer.provideMerge(CausewayNode.netCrypto(IdentityFresh.layer)),
      Layer.provide(Layer.succeed(SessionSettings, numbers))
    )
  ))
  const registry = Context.get(context, ConnectionRegistry)
  yield* Effect.forEach(relays, registry.addRelay, { discard: true })
  const { dht, identity } = Context.get(context, Identity)
  const address: PeerAddress = { identityKey: identity.publicKey, dhtKey: dht.publicKey, relays }
  return { causeway: Context.get(context, Causeway), registry, address, connections }
})

/** One end of the link. */
export interface End {
  readonly peer: Peer
  /** How many connections there have been below the sessions. */
  readonly links: () => number
  /** Ends the connection below, whatever is under way on it. False: there is none. */
  readonly tear: Effect.Effect<boolean>
  /** The relay that carries what this end sends now. */
  readonly carrier: () => RelayAddress | undefined
  /** The link in a line: what the connection has sent, what waits, and every relay with the peer's presence on it. */
  readonly picture: Effect.Effect<string>
}

const pictureOf = (
  peer: Peer,
  connection: NetCryptoConnection | undefined,
  relays: ReadonlyArray<RelayStatus>
): string => {
  const stats = connection?.stats()
  const paths = connection?.paths() ?? []
  const ways = relays.map(({ online, relay, state }) => {
    const path = paths.find((path) => path.relay.port === relay.port)
    const carries = path?.carries === true ? ", carries" : ""
    return `${relay.port} ${state._tag}${online > 0 ? ", peer online" : ""}${carries}`
  })
  return `link ${peer.link()._tag}, ${stats?.sentPackets} sent, ${stats?.resentPackets} resent, ${stats?.receivedPackets} ` +
    `received, ${stats?.inFlightPackets} in flight, ${stats?.queuedPackets} queued, round trip ${stats?.roundTrip} ms; ` +
    `${ways.join("; ")}`
}

const endOf = (
  peer: Peer,
  { connections, registry }: Effect.Success<ReturnType<typeof makeNode>>
): End => ({
  peer,
  links: () => connections.count,
  tear: Effect.suspend(() => {
    const { latest } = connections
    return latest === undefined || peer.link()._tag === "Down" ? Effect.succeed(false) : Effect.as(latest.close, true)
  }),
  carrier: () => connections.latest?.paths().find(({ carries }) => carries)?.relay,
  picture: Effect.map(registry.relays, (relays) => pictureOf(peer, connections.latest, relays))
})

/** Both ends of a link over these relays. */
export const join = Effect.fnUntraced(function*(
  relays: ReadonlyArray<RelayAddress>,
  settings: Partial<SessionNumbers> = {}
) {
  const [caller, callee] = yield* Effect.all([makeNode(relays, settings), makeNode(relays, settings)])
  yield* callee.causeway.setAcceptPolicy(() => true)
  yield* Effect.all([caller.registry.awaitRelay, callee.registry.awaitRelay])
  const [a, b] = yield* Effect.all([caller.causeway.connect(callee.address), callee.causeway.accept], {
    concurrency: "unbounded"
  })
  return { a: endOf(a, caller), b: endOf(b, callee) }
})
