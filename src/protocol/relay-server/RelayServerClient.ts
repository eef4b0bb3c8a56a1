/**
 * One connection of a relay, from accept to close, and what it is once its hello has been answered: a client with a key, links,
 * an output, buckets and a liveness check. It never touches another client; `RelayServerCore` does what happens between them.
 */
import { type PublicKey, toHex } from "../../schema/Bytes.ts"
import { pingIdSize } from "../../schema/RelayPacket.ts"
import type { Cipher } from "../crypto/Crypto.ts"
import { RelayFrames } from "../relay/RelayFrames.ts"
import type { AnsweredHello } from "../relay/relayHandshake.ts"
import { packetType } from "../relay/relayPacketType.ts"
import { TokenBucket } from "../TokenBucket.ts"
import { LinkTable } from "./LinkTable.ts"
import { RelayServerOutput } from "./RelayServerOutput.ts"
import type { RelayServerPort, RelayServerShared } from "./RelayServerShared.ts"

/** An accepted connection. */
export interface RelayServerConnection {
  readonly port: RelayServerPort
  /** The admission key of its address; undefined: exempt from the limits. */
  readonly source: string | undefined
  readonly acceptedAt: number
  /** Set when the hello has been answered. */
  client: RelayServerClient | undefined
  /** Set when a valid encrypted frame has arrived. */
  confirmed: boolean
  closed: boolean
}

/** Why a client must go, when its time is up. */
export type Expiry = "blocked" | "frame timeout" | "ping timeout"

export class RelayServerClient {
  readonly connection: RelayServerConnection
  readonly key: PublicKey
  readonly links: LinkTable<RelayServerClient>
  readonly frames: RelayFrames
  readonly output: RelayServerOutput
  /** Whether it is on the list of those to flush at the end of the batch. */
  touched = false
  /** Told once when the output has room again. */
  onRoom: (() => void) | undefined
  readonly #cipher: Cipher
  readonly #routing: TokenBucket
  readonly #oob: TokenBucket
  readonly #bytes: TokenBucket | undefined
  #nextPing = 0
  #pingSentAt: number | undefined
  #pingId: Uint8Array | undefined
  /** Since when the current partial frame has been waiting, and how many frames had been opened then. */
  #waitingSince: number | undefined
  #waitingAfter = 0

  constructor(connection: RelayServerConnection, answered: AnsweredHello, shared: RelayServerShared) {
    const { bytesPerSecond, oobPerSecond, routingPerSecond } = shared.limits
    this.connection = connection
    this.key = answered.clientKey
    this.links = new LinkTable<RelayServerClient>(this, toHex(answered.clientKey))
    this.frames = new RelayFrames(answered.cipher, answered.receive)
    this.output = new RelayServerOutput(answered.cipher, answered.send, connection.port, shared)
    this.#cipher = answered.cipher
    this.#routing = new TokenBucket(routingPerSecond)
    this.#oob = new TokenBucket(oobPerSecond)
    this.#bytes = bytesPerSecond === undefined ? undefined : new TokenBucket(bytesPerSecond)
  }

  chargeRouting(now: number): void {
    this.#routing.charge(now)
  }

  chargeOob(now: number): void {
    this.#oob.charge(now)
  }

  chargeBytes(now: number, bytes: number): void {
    this.#bytes?.charge(now, bytes)
  }

  /** For how long nothing more should be read from it, milliseconds. */
  debt(now: number): number {
    return Math.max(this.#routing.delay(now), this.#oob.delay(now), this.#bytes?.delay(now) ?? 0)
  }

  /** Nothing was read from it for a while, by our decision: that is not its silence. */
  paused(duration: number): void {
    if (this.#pingSentAt !== undefined) this.#pingSentAt += duration
    if (this.#waitingSince !== undefined) this.#waitingSince += duration
  }

  /** Whether a ping is due: none is outstanding and the interval has passed. */
  isPingDue(now: number): boolean {
    return this.#pingSentAt === undefined && now >= this.#nextPing
  }

  /** A ping packet with this id, which is outstanding from now on. */
  ping(id: Uint8Array, now: number, interval: number): Uint8Array {
    this.#pingSentAt = now
    this.#nextPing = now + interval
    this.#pingId = id
    const plain = new Uint8Array(1 + pingIdSize)
    plain[0] = packetType.ping
    plain.set(id, 1)
    return plain
  }

  /** Takes a pong packet; whether it answers the outstanding ping. */
  pong(plain: Uint8Array): boolean {
    const id = this.#pingId
    if (id === undefined || plain[0] !== packetType.pong) return false
    for (let i = 0; i < pingIdSize; i++) if (plain[1 + i] !== id[i]) return false
    this.#pingId = undefined
    this.#pingSentAt = undefined
    return true
  }

  /** Whether one of its times is up; to be asked regularly, because that is also how a waiting frame is noticed. */
  expired(shared: RelayServerShared): Expiry | undefined {
    const { blockedTimeout, frameTimeout, pingTimeout } = shared.limits
    if (this.output.blockedFor() >= blockedTimeout) return "blocked"
    if (this.#pingSentAt !== undefined && shared.now - this.#pingSentAt >= pingTimeout) return "ping timeout"
    if (!this.frames.waiting) this.#waitingSince = undefined
    else if (this.#waitingSince === undefined || this.#waitingAfter !== this.frames.opened) {
      this.#waitingSince = shared.now
      this.#waitingAfter = this.frames.opened
    } else if (shared.now - this.#waitingSince >= frameTimeout) return "frame timeout"
    return undefined
  }

  /** The socket takes bytes again. */
  drained(): void {
    this.output.drained()
    if (!this.output.isCrowded) this.#tellRoom()
  }

  /** Wipes the key and drops what waits. Idempotent. */
  dispose(): void {
    this.frames.stop()
    this.output.dispose()
    this.#cipher.dispose()
    this.#tellRoom()
  }

  #tellRoom(): void {
    const onRoom = this.onRoom
    this.onRoom = undefined
    onRoom?.()
  }
}
