/**
 * Scripted relays for tests of the registry: links that record what is asked of them and report what the test says. They also keep
 * the rules that a relay keeps, so that a misuse which would cost a real connection ends up in `violations`.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ConnectionTable } from "../../src/protocol/registry/ConnectionTable.ts"
import type { PeerPath, ReplyRoute } from "../../src/protocol/registry/PeerPath.ts"
import type { RelayEntry } from "../../src/protocol/registry/RelayEntry.ts"
import type { TableNumbers } from "../../src/protocol/registry/TableHost.ts"
import type { RelayLink, RelayLinkEvents } from "../../src/protocol/relay/RelayLink.ts"
import { type PublicKey, toHex } from "../../src/schema/Bytes.ts"
import type { RelayAddress } from "../../src/schema/RelayAddress.ts"
import { RelayClient, type RelayState } from "../../src/services/RelayClient.ts"

export const key = (n: number): PublicKey => new Uint8Array(32).fill(n) as PublicKey
export const relayAt = (n: number): RelayAddress => ({
  host: `relay-${n}.test`,
  port: 33_445,
  publicKey: key(100 + n)
})
/** A frame as `PeerPath.send` takes it: the first byte is left free. */
export const frame = (...packet: ReadonlyArray<number>): Uint8Array => Uint8Array.of(0xee, ...packet)

type IdState = "registered" | "online"

/** One confirmed connection to a relay. */
export class FakeLink implements RelayLink {
  readonly relay: RelayAddress
  isCauseway = false
  readonly requests: Array<number> = []
  readonly disconnects: Array<number> = []
  readonly data: Array<{ readonly id: number; readonly bytes: ReadonlyArray<number>; readonly urgent: boolean }> = []
  readonly oob: Array<{ readonly to: number; readonly bytes: ReadonlyArray<number> }> = []
  /** What a relay would close the connection for, or what the contract of `RelayLink` forbids. */
  readonly violations: Array<string> = []
  /** While true nothing but control packets is taken; `stuck` is what `stuckSince` says. */
  full = false
  stuck: number | undefined
  roomBytes = 100_000
  isLost = false
  /** Runs inside `sendData`, before it returns. */
  onSend: () => void = () => {}
  /** Connection ids by key, as the relay sees them. */
  readonly ids = new Map<number, { readonly peer: string; state: IdState }>()
  readonly outstanding = new Set<string>()
  readonly #events: RelayLinkEvents

  constructor(relay: RelayAddress, events: RelayLinkEvents) {
    this.relay = relay
    this.#events = events
  }

  requestRoute(peer: PublicKey): void {
    if (this.isLost) return
    this.requests.push(peer[0]!)
    const id = toHex(peer)
    if (this.outstanding.has(id)) this.violations.push(`a second request for ${peer[0]}`)
    if (this.idOf(peer[0]!) !== undefined) this.violations.push(`a request for ${peer[0]}, which has an id`)
    this.outstanding.add(id)
  }

  disconnect(connectionId: number): void {
    if (this.isLost) return
    this.disconnects.push(connectionId)
    if (!this.ids.delete(connectionId)) this.violations.push(`a disconnect of ${connectionId}, which is not held`)
  }

  sendData(connectionId: number, packet: Uint8Array, length: number, urgent: boolean): boolean {
    if (this.isLost) return false
    if (this.ids.get(connectionId)?.state !== "online") this.violations.push(`data on ${connectionId}`)
    this.onSend()
    if (this.full) return false
    this.data.push({ id: connectionId, bytes: [...packet.subarray(1, length)], urgent })
    return true
  }

  sendOob(destination: PublicKey, payload: Uint8Array): boolean {
    if (this.isLost) return false
    if (payload.length < 1 || payload.length > 1024) this.violations.push(`${payload.length} bytes out of band`)
    if (this.full) return false
    this.oob.push({ to: destination[0]!, bytes: [...payload] })
    return true
  }

  sendOnion = (): boolean => !this.isLost
  sendForward = (): boolean => !this.isLost
  room = (): number => this.isLost || this.full ? 0 : this.roomBytes
  stuckSince = (): number | undefined => this.isLost ? undefined : this.stuck
  roundTrip = (): number | undefined => undefined
  flush = (): void => {}

  /** The id that the peer `key(n)` holds. */
  idOf(n: number): number | undefined {
    for (const [id, { peer }] of this.ids) if (peer === toHex(key(n))) return id
    return undefined
  }

  /** Answers an outstanding request with the lowest free id, and returns it. */
  grant(n: number): number {
    if (!this.outstanding.delete(toHex(key(n)))) throw new Error(`no request for ${n}`)
    let id = 16
    while (this.ids.has(id)) id++
    this.ids.set(id, { peer: toHex(key(n)), state: "registered" })
    this.#events.onRouteResponse(this, id, key(n))
    return id
  }

  refuse(n: number): void {
    if (!this.outstanding.delete(toHex(key(n)))) throw new Error(`no request for ${n}`)
    this.#events.onRouteResponse(this, 0, key(n))
  }

  online(id: number): void {
    this.#held(id).state = "online"
    this.#events.onPeerOnline(this, id)
  }

  offline(id: number): void {
    this.#held(id).state = "registered"
    this.#events.onPeerOffline(this, id)
  }

  /** `grant` and `online` in one. */
  bring(n: number): number {
    const id = this.grant(n)
    this.online(id)
    return id
  }

  receive(id: number, ...bytes: ReadonlyArray<number>): void {
    this.#events.onData(this, id, Uint8Array.from(bytes))
  }

  receiveOob(sender: number, ...bytes: ReadonlyArray<number>): void {
    this.#events.onOob(this, key(sender), Uint8Array.from(bytes))
  }

  receiveOnion(...bytes: ReadonlyArray<number>): void {
    this.#events.onOnion(this, Uint8Array.from(bytes))
  }

  receiveForwarded(...bytes: ReadonlyArray<number>): void {
    this.#events.onForwarded(this, Uint8Array.from(bytes))
  }

  writable(): void {
    this.full = false
    this.stuck = undefined
    this.#events.onWritable(this)
  }

  batchEnd(): void {
    this.#events.onBatchEnd(this)
  }

  /** Ends the connection. Idempotent. */
  lose(): void {
    if (this.isLost) return
    this.isLost = true
    this.ids.clear()
    this.outstanding.clear()
    this.#events.onLost(this)
  }

  #held(id: number): { state: IdState } {
    const held = this.ids.get(id)
    if (held === undefined) throw new Error(`id ${id} is not held`)
    return held
  }
}

/** All relays that somebody wanted to be kept, by number. */
export class FakeRelays {
  readonly #events = new Map<string, RelayLinkEvents>()
  /** Relays in the order in which they were asked for; one that is asked for twice is there twice. */
  readonly kept: Array<string> = []
  /** Every link there ever was. */
  readonly links: Array<FakeLink> = []

  readonly keep = (relay: RelayAddress, events: RelayLinkEvents): void => {
    this.kept.push(relay.host)
    this.#events.set(relay.host, events)
  }

  /** Relays that were left, in order. Their links end, as the fiber that is interrupted would end them. */
  readonly left: Array<string> = []
  readonly leave = (relay: RelayAddress): void => {
    this.left.push(relay.host)
    this.#events.delete(relay.host)
    for (const link of this.links) if (!link.isLost && link.relay.host === relay.host) link.lose()
  }

  /** Confirms a new connection to `relayAt(n)`. */
  confirm(n: number): FakeLink {
    return this.confirmAt(relayAt(n))
  }

  /** Confirms a new connection to a relay at an address of its own. */
  confirmAt(relay: RelayAddress): FakeLink {
    const events = this.#events.get(relay.host)
    if (events === undefined) throw new Error(`nobody wants ${relay.host}`)
    const link = new FakeLink(relay, events)
    this.links.push(link)
    events.onConfirmed(link)
    return link
  }

  get violations(): ReadonlyArray<string> {
    return this.links.flatMap((link) => link.violations)
  }
}

/** One peer of a `FakeHost`, with what its path reported. */
export interface OpenPeer {
  readonly path: PeerPath
  readonly log: Array<string>
  /** Runs inside every report, after it has been logged. */
  on: (event: string, route: ReplyRoute | undefined) => void
}

/** A `ConnectionTable` over fake relays, and a record of everything that it reports. */
export class FakeHost {
  readonly relays = new FakeRelays()
  readonly table: ConnectionTable
  readonly log: Array<string> = []
  readonly oob: Array<{ readonly sender: number; readonly bytes: ReadonlyArray<number>; readonly route: ReplyRoute }> =
    []
  batches = 0
  changes = 0
  now = 1_000

  constructor(numbers: Partial<TableNumbers> = {}) {
    this.table = new ConnectionTable({
      numbers: {
        desiredRelays: 3,
        maxRelays: 6,
        maxKnownRelays: 64,
        trialsAtOnce: 4,
        trialsPerMinute: 20,
        allowPrivate: true,
        blockedTimeout: 200,
        minimumRelays: 3,
        minimumOnlyFor: Infinity,
        onionRelays: 3,
        announceTimeout: 10_000,
        ...numbers
      },
      now: () => this.now,
      onStart: this.relays.keep,
      onStop: this.relays.leave,
      onChange: () => this.changes++,
      onOob: (sender, bytes, route) => this.oob.push({ sender: sender[0]!, bytes: [...bytes], route }),
      onBatchEnd: () => this.batches++,
      onRelay: (relay, isConnected) => this.log.push(`${relay.host} ${isConnected ? "up" : "down"}`),
      onPeer: (peer, relay, isOnline) => this.log.push(`${peer[0]} ${isOnline ? "on" : "off"} ${relay.host}`),
      onCarrier: (peer, relay) => this.log.push(`${peer[0]} over ${relay?.host ?? "none"}`),
      onOnion: (relay, bytes) => this.log.push(`onion ${relay.host} ${[...bytes].join()}`),
      onForwarded: (relay, bytes) => this.log.push(`forwarded ${relay.host} ${[...bytes].join()}`)
    })
  }

  open(n: number): OpenPeer {
    const log: Array<string> = []
    const note = (event: string, route?: ReplyRoute) => {
      log.push(event)
      opened.on(event, route)
    }
    const opened: OpenPeer = {
      path: this.table.openPeer(key(n), {
        onPacket: (bytes, route) => note(`packet ${[...bytes].join()} by ${route.relay.host}`, route),
        onCarrierChange: (lost) => note(`carrier ${lost} lost`),
        onWritable: () => note("writable")
      }),
      log,
      on: () => {}
    }
    return opened
  }

  /** A peer that is online on these relays, which are confirmed; the first of them carries. */
  openOn(n: number, ...on: ReadonlyArray<number>): OpenPeer & { readonly links: ReadonlyArray<FakeLink> } {
    const opened = this.open(n)
    const links = on.map((relay) => {
      this.table.addRelay(relayAt(relay))
      opened.path.tie(relayAt(relay))
      const link = this.relays.links.findLast(({ isLost, relay: { host } }) =>
        !isLost && host === relayAt(relay).host
      ) ??
        this.relays.confirm(relay)
      link.bring(n)
      return link
    })
    return Object.assign(opened, { links })
  }

  /** The entry of `relayAt(n)`, undefined while nobody has asked for that relay. */
  entryOf(n: number): RelayEntry | undefined {
    return [...this.table.relays].find((entry) => entry.relay.host === relayAt(n).host)
  }

  /** The slots of a peer as `host status`, in the order of its relays in the table. */
  slots(n: number): ReadonlyArray<string> {
    return [...this.table.relays].flatMap((entry) =>
      [...entry.slots].filter((slot) => slot.peer.key[0] === n).map((slot) => `${entry.relay.host} ${slot.status}`)
    )
  }
}

/** A `RelayClient` whose connections are these fake relays; interrupting one of its fibers ends the link, as a real one does. */
export const fakeRelayClient = (relays: FakeRelays): Layer.Layer<RelayClient> => {
  const maintain = (
    relay: RelayAddress,
    events: RelayLinkEvents,
    onState: (state: RelayState) => void
  ): Effect.Effect<never> =>
    Effect.suspend(() => {
      relays.keep(relay, {
        ...events,
        onConfirmed: (link) => {
          onState({ _tag: "Confirmed" })
          events.onConfirmed(link)
        }
      })
      return Effect.never
    }).pipe(
      Effect.onInterrupt(() =>
        Effect.sync(() => {
          for (const link of relays.links) if (link.relay.host === relay.host) link.lose()
        })
      )
    )
  return Layer.succeed(RelayClient, { maintain, run: maintain })
}
