/**
 * `NetCrypto` services of two nodes, joined by fake connections that the test delivers, cuts and refuses. The node with the lesser
 * identity key is `a`.
 */
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import { equalBytes, type PublicKey, toHex } from "../../src/schema/Bytes.ts"
import type { NetCrypto, NetCryptoConnection, PeerAddress } from "../../src/services/NetCrypto.ts"
import {
  NetCryptoError,
  type NetCryptoErrorReason,
  PeerTimedOut,
  PeerUnreachable
} from "../../src/services/NetCryptoError.ts"
import { type FakeEnd, greaterKey, lesserKey, pair } from "./FakeNetCrypto.ts"

interface Node {
  readonly key: PublicKey
  readonly incoming: Queue.Queue<FakeEnd>
  policy: (identityKey: PublicKey) => boolean
}

export class FakeNetwork {
  /** Packets deliver themselves. */
  auto = true
  sendBuffer = 512 * 1024
  /** Connections keep every packet they took. */
  record = false
  /** `fails`: calls are not answered; `hangs`: nor are they given up. */
  calls: "work" | "fail" | "hang" = "work"
  /** How many calls were made. */
  dialled = 0
  /** Every connection there ever was, the latest last. */
  readonly links: Array<{ readonly a: FakeEnd; readonly b: FakeEnd }> = []
  private readonly nodes: { readonly a: Node; readonly b: Node }

  private constructor(a: Node, b: Node) {
    this.nodes = { a, b }
  }

  static make = Effect.gen(function*() {
    const node = Effect.fnUntraced(function*(key: PublicKey) {
      return { key, incoming: yield* Queue.unbounded<FakeEnd>(), policy: () => false } satisfies Node
    })
    return new FakeNetwork(yield* node(lesserKey), yield* node(greaterKey))
  })

  /** The latest connection, if it is alive at both ends. */
  get live(): { readonly a: FakeEnd; readonly b: FakeEnd } | undefined {
    const last = this.links.at(-1)
    return last === undefined || last.a.error !== undefined || last.b.error !== undefined ? undefined : last
  }

  /** Connections that have not ended at both ends. */
  get open(): number {
    return this.links.filter(({ a, b }) => a.error === undefined || b.error === undefined).length
  }

  /** Ends the connection at both ends; what was not delivered is lost. */
  cut(reason: NetCryptoErrorReason = new PeerTimedOut({ afterMs: 32_000 })): void {
    const last = this.links.at(-1)
    last?.a.end(reason)
    last?.b.end(reason)
  }

  /** Ends the connection for good: no call is answered any more. */
  lose(reason?: NetCryptoErrorReason): void {
    this.calls = "hang"
    this.cut(reason)
  }

  /** How to call a node. */
  static addressOf(side: "a" | "b"): PeerAddress {
    const key = side === "a" ? lesserKey : greaterKey
    return { identityKey: key, dhtKey: key, relays: [] }
  }

  /** Makes the node's `accept` give a connection, whatever has become of it. */
  offer(side: "a" | "b", connection: FakeEnd): void {
    Queue.offerUnsafe(this.nodes[side].incoming, connection)
  }

  /** Whether a node would take a call of the other. */
  takes(side: "a" | "b"): boolean {
    return this.nodes[side].policy(this.nodes[side === "a" ? "b" : "a"].key)
  }

  netCrypto(side: "a" | "b"): NetCrypto["Service"] {
    const self = this.nodes[side]
    const peer = this.nodes[side === "a" ? "b" : "a"]
    const connect = (address: PeerAddress): Effect.Effect<NetCryptoConnection, NetCryptoError> =>
      Effect.suspend(() => {
        const existing = this.live
        if (existing !== undefined) return Effect.succeed(existing[side])
        this.dialled++
        if (this.calls === "hang") return Effect.never
        const isAnswered = this.calls === "work" && equalBytes(address.identityKey, peer.key) && peer.policy(self.key)
        if (!isAnswered) {
          const reason = new PeerUnreachable({ stage: "CookieRequest" })
          return Effect.fail(new NetCryptoError({ peer: toHex(address.identityKey), reason }))
        }
        const { greater, lesser } = pair({ auto: this.auto, sendBuffer: this.sendBuffer })
        lesser.record = greater.record = this.record
        const link = { a: lesser, b: greater }
        this.links.push(link)
        Queue.offerUnsafe(peer.incoming, link[side === "a" ? "b" : "a"])
        return Effect.succeed(link[side])
      })
    return {
      connect,
      accept: Queue.take(self.incoming),
      setAcceptPolicy: (policy) =>
        Effect.sync(() => {
          self.policy = policy
        })
    }
  }
}
