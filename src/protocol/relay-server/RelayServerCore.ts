/**
 * A relay without its sockets: connections from accept to close, clients by key, and the time limits of all of them. What packets do
 * is in `relayServerPackets`. Synchronous; the layer calls `at` first, then `receive` for what a socket delivered, then `endBatch`.
 *
 * A connection goes: accepted -> answered (its hello opened, a session exists) -> confirmed (a frame opened; only now is an older
 * login of the same key replaced, because a replayed hello gets this far without a frame) -> closed. It can be closed from any of them,
 * by its own packets, by a newer login, by `tick`, or by its socket.
 */
import { pingIdSize } from "../../schema/RelayPacket.ts"
import type { Crypto, KeyPair } from "../crypto/Crypto.ts"
import { answerClientHello, type Fill } from "../relay/relayHandshake.ts"
import { packetType } from "../relay/relayPacketType.ts"
import type { RelayServerAdmission } from "./RelayServerAdmission.ts"
import { RelayServerClient, type RelayServerConnection } from "./RelayServerClient.ts"
import { handlePacket, notification } from "./relayServerPackets.ts"
import {
  count,
  RelayServerCounters,
  type RelayServerLimits,
  type RelayServerPort,
  type RelayServerShared
} from "./RelayServerShared.ts"

/** How far the relay's time moves at most between two looks at the clock: a stalled event loop times nobody out. */
const longestStep = 1_000
/** Bytes parsed before the buckets are looked at again: a flood overdraws them by no more than this holds. */
const sliceSize = 16 * 1024
/** The same for a client whose output is blocked: at most 75 pongs, so that its own pings cannot fill its control queue. */
const blockedSliceSize = 2 * 1024
/**
 * How many clients have an open batch at a time. Each holds a buffer of 64 KiB, of which the sealers keep as many for reuse: a round
 * of pings to hundreds of clients would otherwise allocate one for each.
 */
const maxOpenBatches = 8
/** How often admission forgets addresses and keys, milliseconds. */
const pruneInterval = 5_000
/** The id of our first ping starts with these bytes: a client knows by them that the relay is one of ours. */
const causewayMark = Uint8Array.of(0x43, 0x57, 0x59, 0x01)

export interface RelayServerCoreOptions {
  readonly crypto: Crypto
  readonly keyPair: KeyPair
  readonly fill: Fill
  readonly limits: RelayServerLimits
  readonly admission: RelayServerAdmission
}

export class RelayServerCore {
  readonly counters = new RelayServerCounters()
  /** Defects of single connections since the layer last took them; they end that connection only. */
  defects: Array<unknown> = []
  readonly #options: RelayServerCoreOptions
  readonly #shared: RelayServerShared
  readonly #connections = new Set<RelayServerConnection>()
  readonly #clients = new Map<string, RelayServerClient>()
  #touched: Array<RelayServerClient> = []
  #ending: Array<RelayServerConnection> = []
  #clock: number | undefined
  /** Pings that this tick may still send. */
  #pings = 0
  #nextPrune = 0

  constructor(options: RelayServerCoreOptions) {
    this.#options = options
    this.#shared = { limits: options.limits, counters: this.counters, now: 0 }
  }

  /** The relay's time, milliseconds. */
  get now(): number {
    return this.#shared.now
  }

  /** Confirmed clients, and connections that are not. */
  get clients(): number {
    return this.#clients.size
  }

  get pending(): number {
    return this.#connections.size - this.#clients.size
  }

  /** Says what time it is, monotonic milliseconds. First call of every batch. */
  at(clock: number): void {
    this.#shared.now += Math.min(Math.max(0, clock - (this.#clock ?? clock)), longestStep)
    this.#clock = clock
  }

  /** A connection that admission let in. */
  accept(source: string | undefined, port: RelayServerPort): RelayServerConnection {
    const acceptedAt = this.#shared.now
    const connection = { source, port, acceptedAt, client: undefined, confirmed: false, closed: false }
    this.#connections.add(connection)
    this.counters.accepted++
    return connection
  }

  /**
   * Takes the 128 bytes of a hello and makes the session. The layer writes the 96 bytes that it returns; undefined: closed, and
   * whoever sent it is not told why.
   */
  answer(connection: RelayServerConnection, hello: Uint8Array): Uint8Array | undefined {
    const { crypto, fill, keyPair } = this.#options
    if (connection.closed) return undefined
    const answered = answerClientHello(crypto, keyPair, hello, fill)
    if (answered === undefined) {
      this.violate(connection, "a hello that does not open")
      return undefined
    }
    connection.client = new RelayServerClient(connection, answered, this.#shared)
    return answered.reply
  }

  /**
   * Takes bytes of an answered client, from an offset on, and returns how far it got. It stops before the end when the connection
   * closed, or when nothing more should be read from the client for now: see `RelayServerClient.debt` and `RelayServerOutput.isCrowded`.
   */
  receive(client: RelayServerClient, chunk: Uint8Array, from: number): number {
    const { connection, frames, output } = client
    let at = from
    while (at < chunk.length && !connection.closed) {
      const end = Math.min(chunk.length, at + (output.isBlocked ? blockedSliceSize : sliceSize))
      const slice = at === 0 && end === chunk.length ? chunk : chunk.subarray(at, end)
      client.chargeBytes(this.#shared.now, slice.length)
      const violation = frames.push(slice, (plain) => this.#packet(client, plain))
      if (violation !== undefined) {
        this.violate(connection, violation.startsWith("a frame length") ? "frame length" : violation)
      }
      at = end
      if (client.debt(this.#shared.now) > 0 || output.isCrowded) break
    }
    return at
  }

  /** Writes what the batch produced and ends the connections that it closed. Last call of every batch. */
  endBatch(): void {
    this.#flush()
    for (let ended = this.#ending.pop(); ended !== undefined; ended = this.#ending.pop()) ended.port.end()
  }

  /** The socket of a client takes bytes again. A batch of its own. */
  drained(connection: RelayServerConnection): void {
    if (connection.client !== undefined && !connection.closed) this.guard(connection, connection.client, drainClient)
    this.endBatch()
  }

  /** Pings whom it is time to ping and closes whom it is time to close. A batch of its own, several times a second. */
  tick(): void {
    // Clients that arrived together are not pinged together: sealing and writing to all of them would hold up everybody's data.
    this.#pings = 64 + (this.#clients.size >> 5)
    for (const connection of this.#connections) this.guard(connection, connection, this.#check)
    if (this.#shared.now >= this.#nextPrune) {
      this.#nextPrune = this.#shared.now + pruneInterval
      this.#options.admission.prune(this.#shared.now)
    }
    this.endBatch()
  }

  readonly #check = (connection: RelayServerConnection): void => {
    const { limits, now } = this.#shared
    const client = connection.client
    if (!connection.confirmed || client === undefined) {
      if (now - connection.acceptedAt >= limits.confirmTimeout) this.close(connection, "confirm timeout")
      return
    }
    const expiry = client.expired(this.#shared)
    if (expiry !== undefined) return this.close(connection, expiry)
    if (this.#pings === 0 || !client.isPingDue(now)) return
    this.#pings--
    this.control(client, client.ping(this.#pingId(), now, limits.pingInterval))
  }

  /** Sends a control packet; a client with too many waiting is closed. */
  control(client: RelayServerClient, plain: Uint8Array): void {
    this.#touch(client)
    if (!client.output.control(plain)) this.close(client.connection, "control queue full")
  }

  /** Sends a connect or disconnect notification. */
  notify(client: RelayServerClient, plain: Uint8Array): void {
    this.#touch(client)
    if (!client.output.notification(plain)) this.close(client.connection, "control queue full")
  }

  /** Sends data or an out-of-band packet, or drops it when the client is too slow. */
  data(client: RelayServerClient, plain: Uint8Array): void {
    this.#touch(client)
    client.output.data(plain)
  }

  /** The confirmed client with this key. */
  client(key: string): RelayServerClient | undefined {
    return this.#clients.get(key)
  }

  /** Closes for bad bytes. */
  violate(connection: RelayServerConnection, cause: string): void {
    if (connection.closed) return
    count(this.counters.violations, cause)
    this.#close(connection)
    this.#ending.push(connection)
  }

  /** Closes for anything else. */
  close(connection: RelayServerConnection, cause: string): void {
    if (connection.closed) return
    count(this.counters.closed, cause)
    this.#close(connection)
    this.#ending.push(connection)
  }

  /** The socket has ended or is being ended by its owner. A batch of its own. Idempotent. */
  left(connection: RelayServerConnection, cause: string): void {
    if (!connection.closed) {
      count(this.counters.closed, cause)
      this.#close(connection)
    }
    this.endBatch()
  }

  /** Runs a step that belongs to one connection; what it throws ends that connection and is kept for the log. */
  guard<A>(connection: RelayServerConnection, argument: A, step: (argument: A) => void): void {
    try {
      step(argument)
    } catch (defect) {
      this.defects.push(defect)
      this.close(connection, "defect")
    }
  }

  #packet(client: RelayServerClient, plain: Uint8Array): boolean {
    if (!client.connection.confirmed) this.#confirm(client)
    handlePacket(this, client, plain)
    return !client.connection.closed
  }

  /** The first frame has opened: the client owns its key and is alive now. */
  #confirm(client: RelayServerClient): void {
    const { connection, links: { key } } = client
    const older = this.#clients.get(key)
    if (older !== undefined) this.close(older.connection, "replaced by a newer login")
    connection.confirmed = true
    this.#clients.set(key, client)
    this.#options.admission.settle(connection.source)
    this.#options.admission.loggedIn(key, this.#shared.now)
    const id = this.#pingId()
    id.set(causewayMark)
    this.control(client, client.ping(id, this.#shared.now, this.#shared.limits.pingInterval))
  }

  #close(connection: RelayServerConnection): void {
    connection.closed = true
    this.#connections.delete(connection)
    if (!connection.confirmed) this.#options.admission.settle(connection.source)
    const client = connection.client
    if (client === undefined) return
    if (connection.confirmed) {
      this.#clients.delete(client.links.key)
      client.links.releaseAll((peer, peerId) =>
        this.notify(peer.owner, notification(packetType.disconnectNotification, peerId))
      )
    }
    client.dispose()
  }

  #touch(client: RelayServerClient): void {
    if (client.touched) return
    if (this.#touched.length >= maxOpenBatches) this.#flush()
    client.touched = true
    this.#touched.push(client)
  }

  #flush(): void {
    for (let client = this.#touched.pop(); client !== undefined; client = this.#touched.pop()) {
      client.touched = false
      this.guard(client.connection, client.output, flushOutput)
    }
  }

  #pingId(): Uint8Array {
    const id = new Uint8Array(pingIdSize)
    this.#options.fill(id)
    // Zero means "no ping" to every implementation.
    if (id.every((byte) => byte === 0)) id[pingIdSize - 1] = 1
    return id
  }
}

const flushOutput = (output: RelayServerClient["output"]): void => output.flush()
const drainClient = (client: RelayServerClient): void => client.drained()
