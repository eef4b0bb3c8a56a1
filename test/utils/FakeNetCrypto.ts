/**
 * Two ends of one net_crypto connection, without network or cryptography. The send buffer is limited, delivery is in order and
 * happens when the test says so (`deliver`) or by itself after the code that is running (`auto`).
 */
import * as Effect from "effect/Effect"
import * as WaitUntil from "../../src/layers/waitUntil.ts"
import { type PublicKey, toHex } from "../../src/schema/Bytes.ts"
import { maxPayload } from "../../src/schema/NetCryptoPacket.ts"
import type {
  NetCryptoConnection,
  NetCryptoHandlers,
  NetCryptoParked,
  NetCryptoPath,
  NetCryptoWokenBy
} from "../../src/services/NetCrypto.ts"
import { ClosedHere, NetCryptoError, type NetCryptoErrorReason, PeerClosed } from "../../src/services/NetCryptoError.ts"

export const identityKey = (fill: number): PublicKey => new Uint8Array(32).fill(fill) as PublicKey

export class FakeEnd implements NetCryptoConnection {
  readonly identityKey: PublicKey
  readonly dhtKey: PublicKey
  /** Packets given to `trySend` and not delivered yet. */
  readonly queue: Array<Uint8Array> = []
  queuedBytes = 0
  /** Packets that arrived before there was a receiver. */
  readonly early: Array<Uint8Array> = []
  /** Every packet ever taken, when `record` is set. */
  readonly taken: Array<Uint8Array> = []
  record = false
  sentPackets = 0
  deliveredPackets = 0
  isHeld = false
  error: NetCryptoError | undefined = undefined
  /** Bytes `trySend` takes before it returns false. */
  sendBuffer: number
  /** What `paths` and `probe` give. */
  ways: ReadonlyArray<NetCryptoPath> = []
  peer: FakeEnd | undefined = undefined
  auto = false
  /** Whether it rests, without a time of grace; a packet either way wakes both ends. */
  rest: NetCryptoParked = "awake"
  /** How many relays it keeps while it is parked. */
  keptRelays = 0
  private blocked = false
  private handlers: NetCryptoHandlers | undefined = undefined
  private scheduled = false
  private readonly waiters = WaitUntil.make()

  constructor(peerKey: PublicKey, sendBuffer: number) {
    this.identityKey = peerKey
    this.dhtKey = peerKey
    this.sendBuffer = sendBuffer
  }

  readonly trySend = (payload: Uint8Array): boolean => {
    if (payload.length < 1 || payload.length > maxPayload) throw new RangeError(`a packet of ${payload.length} bytes`)
    if (this.error !== undefined || this.queuedBytes + payload.length > this.sendBuffer) {
      this.blocked = true
      return false
    }
    this.wake()
    this.queue.push(payload)
    this.queuedBytes += payload.length
    this.sentPackets++
    if (this.record) this.taken.push(payload)
    if (this.auto) this.schedule()
    return true
  }

  readonly sendAll = (payloads: ReadonlyArray<Uint8Array>): Effect.Effect<void, NetCryptoError> =>
    Effect.forEach(payloads, (payload) =>
      this.waiters.until(() => {
        if (this.error !== undefined) return Effect.fail(this.error)
        return this.trySend(payload) ? Effect.void : undefined
      }), { discard: true })

  readonly sendLossy = (): boolean => false

  readonly drained: Effect.Effect<void, NetCryptoError> = Effect.suspend(() => {
    const target = this.sentPackets
    return this.waiters.until(() => {
      if (this.deliveredPackets >= target) return Effect.void
      return this.error === undefined ? undefined : Effect.fail(this.error)
    })
  })

  readonly handle = (handlers: NetCryptoHandlers): void => {
    if (this.handlers !== undefined) throw new Error("handle was called twice")
    this.handlers = handlers
    for (const packet of this.early.splice(0)) handlers.onLossless(packet)
    if (this.error !== undefined) handlers.onClosed(this.error)
    if (this.peer?.auto === true) this.peer.schedule()
  }

  readonly hold = (held: boolean): void => {
    this.isHeld = held
    if (!held && this.peer?.auto === true) this.peer.schedule()
  }

  readonly closed: Effect.Effect<NetCryptoError> = Effect.suspend(() =>
    this.waiters.until(() => this.error === undefined ? undefined : Effect.succeed(this.error))
  )

  readonly close: Effect.Effect<void> = Effect.sync(() => {
    this.end(new ClosedHere())
    this.peer?.end(new PeerClosed())
  })

  readonly stats = () => ({
    sentPackets: this.sentPackets,
    resentPackets: 0,
    receivedPackets: this.peer?.deliveredPackets ?? 0,
    inFlightPackets: 0,
    queuedPackets: this.queue.length,
    roundTrip: undefined,
    dropped: {}
  })

  readonly paths = (): ReadonlyArray<NetCryptoPath> => this.error === undefined ? this.ways : []

  readonly probe: Effect.Effect<ReadonlyArray<NetCryptoPath>, NetCryptoError> = Effect.suspend(() =>
    this.error === undefined ? Effect.succeed(this.ways) : Effect.fail(this.error)
  )

  readonly park = (keptRelays = 0): boolean => {
    if (this.queue.length > 0 || this.error !== undefined) return false
    this.rest = "parked"
    this.keptRelays = keptRelays
    return true
  }

  readonly wake = (): void => {
    if (this.rest !== "parked") return
    this.woken("us")
    this.peer?.woken("peer")
  }

  readonly parked = (): NetCryptoParked => this.rest

  readonly nextPacketNumber = (): number => this.sentPackets

  private woken(by: NetCryptoWokenBy): void {
    if (this.rest === "awake") return
    this.rest = "awake"
    queueMicrotask(() => this.error === undefined && this.handlers?.onWoken?.(by))
  }

  /** Delivers up to `count` packets of this end to the other. Returns how many. */
  deliver(count = Number.POSITIVE_INFINITY): number {
    let delivered = 0
    while (delivered < count && this.queue.length > delivered) {
      const peer = this.peer
      if (peer?.handlers === undefined || peer.isHeld || peer.error !== undefined) break
      const packet = this.queue[delivered]
      if (packet === undefined) break
      delivered++
      this.deliveredPackets++
      // A copy, because the receiver owns what it gets and the sender keeps its own.
      peer.handlers.onLossless(packet.slice())
    }
    for (const packet of this.queue.splice(0, delivered)) this.queuedBytes -= packet.length
    if (delivered > 0) this.waiters.wake()
    if (this.blocked && this.queuedBytes <= this.sendBuffer / 2 && this.error === undefined) {
      this.blocked = false
      this.handlers?.onWritable()
    }
    return delivered
  }

  /** Ends this end, with what is queued. */
  end(reason: NetCryptoErrorReason): void {
    if (this.error !== undefined) return
    this.error = new NetCryptoError({ peer: toHex(this.identityKey), reason })
    this.queue.length = 0
    this.queuedBytes = 0
    this.waiters.wake()
    this.handlers?.onClosed(this.error)
  }

  /** Delivers by itself, a batch at a time. */
  schedule(): void {
    if (this.scheduled) return
    this.scheduled = true
    queueMicrotask(() => {
      this.scheduled = false
      if (this.deliver(64) > 0 && this.queue.length > 0) this.schedule()
    })
  }
}

export interface FakePair {
  /** The end of the node with the lesser identity key, all ones; its peer's is all twos. */
  readonly lesser: FakeEnd
  readonly greater: FakeEnd
}

export const lesserKey = identityKey(1)
export const greaterKey = identityKey(2)

export const pair = (options?: { readonly sendBuffer?: number; readonly auto?: boolean }): FakePair => {
  const sendBuffer = options?.sendBuffer ?? 512 * 1024
  const lesser = new FakeEnd(greaterKey, sendBuffer)
  const greater = new FakeEnd(lesserKey, sendBuffer)
  lesser.peer = greater
  greater.peer = lesser
  lesser.auto = greater.auto = options?.auto ?? false
  return { lesser, greater }
}
