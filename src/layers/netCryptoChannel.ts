/** One session as the application sees it: `NetCryptoConnection` over a `CryptoSession`. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { CryptoPeer } from "../protocol/net-crypto/CryptoPeer.ts"
import type { CryptoSession } from "../protocol/net-crypto/CryptoSession.ts"
import type { MeasuredWay } from "../protocol/net-crypto/PathSurvey.ts"
import type { PublicKey } from "../schema/Bytes.ts"
import { firstLosslessId, firstLossyId, lastLosslessId, lastLossyId, maxPayload } from "../schema/NetCryptoPacket.ts"
import type {
  NetCryptoConnection,
  NetCryptoHandlers,
  NetCryptoParked,
  NetCryptoPath,
  NetCryptoStats,
  NetCryptoWokenBy
} from "../services/NetCrypto.ts"
import type { NetCryptoError } from "../services/NetCryptoError.ts"

/** Lossy packets kept for a receiver that has not registered yet; the oldest go first. */
const maxEarlyLossy = 256

export class NetCryptoChannel implements NetCryptoConnection {
  readonly #peer: CryptoPeer
  readonly #session: CryptoSession
  #handlers: NetCryptoHandlers | undefined
  #isHeld = false
  #early: Array<Uint8Array> = []
  #earlyLossy: Array<Uint8Array> = []
  #error: NetCryptoError | undefined
  readonly #closed = Deferred.makeUnsafe<NetCryptoError>()
  /** Senders that wait for room, and those that wait until a number has been acknowledged. */
  readonly #senders = new Set<() => void>()
  readonly #drains = new Set<{ readonly number: number; readonly resume: () => void }>()

  constructor(peer: CryptoPeer, session: CryptoSession) {
    this.#peer = peer
    this.#session = session
  }

  get identityKey(): PublicKey {
    return this.#peer.identityKey
  }

  get dhtKey(): PublicKey {
    return this.#peer.path.peer
  }

  readonly trySend = (payload: Uint8Array): boolean => {
    check(payload, firstLosslessId, lastLosslessId)
    const sent = this.#session.trySend(payload)
    // The timer may run at once and find room: whoever has not been told yet that there was none would miss it.
    if (sent) this.reschedule()
    return sent
  }

  readonly sendLossy = (payload: Uint8Array): boolean => {
    check(payload, firstLossyId, lastLossyId)
    return this.#session.sendLossy(payload)
  }

  readonly sendAll = Effect.fnUntraced(
    { self: this as NetCryptoChannel },
    function*(this: NetCryptoChannel, payloads: ReadonlyArray<Uint8Array>): Effect.fn.Return<void, NetCryptoError> {
      let at = 0
      while (at < payloads.length) {
        if (this.#error !== undefined) return yield* this.#error
        if (this.trySend(payloads[at]!)) at++
        else yield* this.#awaitRoom()
      }
    }
  )

  readonly drained: Effect.Effect<void, NetCryptoError> = Effect.callback<void, NetCryptoError>((resume) => {
    if (this.#error !== undefined) return resume(Effect.fail(this.#error))
    const number = this.#session.sending.end
    if (this.#session.sending.start === number) return resume(Effect.void)
    const drain = {
      number,
      resume: () => resume(this.#error === undefined ? Effect.void : Effect.fail(this.#error))
    }
    this.#drains.add(drain)
    return Effect.sync(() => this.#drains.delete(drain))
  })

  readonly handle = (handlers: NetCryptoHandlers): void => {
    const before = this.#error
    this.#handlers = handlers
    for (const payload of this.#early.splice(0)) handlers.onLossless(payload)
    for (const payload of this.#earlyLossy.splice(0)) handlers.onLossy(payload)
    // The handlers may have closed or held the connection by now.
    if (before !== undefined) handlers.onClosed(before)
    else this.hold(this.#isHeld)
  }

  readonly hold = (held: boolean): void => {
    this.#isHeld = held
    this.#session.hold(held)
    this.reschedule()
  }

  readonly closed: Effect.Effect<NetCryptoError> = Deferred.await(this.#closed)

  readonly close: Effect.Effect<void> = Effect.sync(() => {
    if (this.#error === undefined) this.#peer.close()
  })

  readonly stats = (): NetCryptoStats => ({
    sentPackets: this.#session.counters.sent,
    resentPackets: this.#session.counters.resent,
    receivedPackets: this.#session.counters.received,
    inFlightPackets: this.#session.sending.inFlightPackets,
    queuedPackets: this.#session.sending.queuedPackets,
    roundTrip: this.#session.congestion.roundTrip,
    dropped: { ...this.#session.dropped }
  })

  readonly paths = (): ReadonlyArray<NetCryptoPath> =>
    this.#error === undefined ? this.#peer.cookies.ways.map(pathOf) : []

  readonly probe: Effect.Effect<ReadonlyArray<NetCryptoPath>, NetCryptoError> = Effect.suspend(() => {
    if (this.#error !== undefined) return Effect.fail(this.#error)
    const survey = Effect.callback<ReadonlyArray<NetCryptoPath>>((resume) => {
      const stop = this.#peer.cookies.survey((ways) => resume(Effect.succeed(ways.map(pathOf))))
      this.reschedule()
      return Effect.sync(stop)
    })
    return Effect.raceFirst(survey, Effect.flatMap(this.closed, Effect.fail))
  })

  readonly park = (keptRelays = 0): boolean => this.#error === undefined && this.#peer.park(this.#session, keptRelays)

  readonly wake = (): void => this.#session.wake()

  readonly parked = (): NetCryptoParked => this.#session.parking.state

  readonly nextPacketNumber = (): number => this.#session.sending.end

  /** Called by the layer: what the session reports. */
  onLossless(payload: Uint8Array): void {
    if (this.#handlers !== undefined) return this.#handlers.onLossless(payload)
    this.#early.push(payload)
    // Nobody reads yet: nothing more is acknowledged until somebody does.
    this.#session.hold(true)
  }

  onLossy(payload: Uint8Array): void {
    if (this.#handlers !== undefined) return this.#handlers.onLossy(payload)
    if (this.#earlyLossy.push(payload) > maxEarlyLossy) this.#earlyLossy.shift()
  }

  onWoken(by: NetCryptoWokenBy): void {
    this.#handlers?.onWoken?.(by)
  }

  onWritable(): void {
    this.#handlers?.onWritable()
    this.#resumeSenders()
  }

  onAcknowledged(): void {
    for (const drain of this.#drains) {
      if (((this.#session.sending.start - drain.number) | 0) < 0) continue
      this.#drains.delete(drain)
      drain.resume()
    }
  }

  end(error: NetCryptoError): void {
    if (this.#error !== undefined) return
    this.#error = error
    Deferred.doneUnsafe(this.#closed, Effect.succeed(error))
    this.#handlers?.onClosed(error)
    this.#resumeSenders()
    for (const drain of this.#drains) drain.resume()
    this.#drains.clear()
  }

  /** Lets the peer's timer look at the deadline again. */
  reschedule(): void {
    this.#peer.wake()
  }

  /** A resumed sender may find no room and wait again: only those that wait now are resumed. */
  #resumeSenders(): void {
    const waiting = [...this.#senders]
    this.#senders.clear()
    for (const resume of waiting) resume()
  }

  #awaitRoom(): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      const wake = (): void => resume(Effect.void)
      this.#senders.add(wake)
      return Effect.sync(() => this.#senders.delete(wake))
    })
  }
}

const pathOf = ({ carrier, carries, relay, roundTrip }: MeasuredWay): NetCryptoPath => ({
  relay,
  carries,
  online: carrier !== 0,
  roundTrip
})

/** What does not fit a packet, or has the id of another kind, is a mistake of the caller. */
const check = (payload: Uint8Array, firstId: number, lastId: number): void => {
  const id = payload[0]
  if (id !== undefined && id >= firstId && id <= lastId && payload.length <= maxPayload) return
  throw new RangeError(
    `a payload has 1..${maxPayload} bytes and begins with ${firstId}..${lastId}, not ${payload.length} with ${id}`
  )
}
