/**
 * One net_crypto session: everything that happens under one session key, from the first data packet to the kill packet (protocol,
 * sections 7 to 13). Event driven: it acts when a packet arrives, when the application sends, and when the deadline that it names
 * has come; there is no tick. Plain code; it reads no clock and knows no relay, only a path. Handshakes are `CryptoPeer`'s business.
 *
 * Traps: packets may reach the application, and the application may send, in the middle of `receive`; so every state change comes
 * before the call that reports it.
 */
import * as Packet from "../../schema/NetCryptoPacket.ts"
import type { Cipher } from "../crypto/Crypto.ts"
import type { PeerPath, ReplyRoute, SendOutcome } from "../registry/PeerPath.ts"
import { CarrierLoss } from "./CarrierLoss.ts"
import { CongestionControl } from "./CongestionControl.ts"
import { DataCipher } from "./DataCipher.ts"
import { takeReport } from "./lossReport.ts"
import { oobPayload, PacketWriter } from "./PacketWriter.ts"
import { Parking } from "./Parking.ts"
import { ProgressWatch } from "./ProgressWatch.ts"
import { ReceiveWindow } from "./ReceiveWindow.ts"
import { RequestPace } from "./RequestPace.ts"
import { SendWindow } from "./SendWindow.ts"
import type { SessionHost } from "./SessionHost.ts"

/** Payload bytes in flight while only out-of-band packets are possible: they carry what fits, never bulk (row T39). */
const oobInFlight = 4_096
const minSendBuffer = 32 * 1024
const killPayload = Uint8Array.of(Packet.killId)

export class CryptoSession {
  readonly #host: SessionHost
  readonly #cipher: DataCipher
  /** What has not been acknowledged: to be read only. */
  readonly sending = new SendWindow()
  readonly #receiving: ReceiveWindow
  /** What is known of the path: to be read only. */
  readonly congestion: CongestionControl
  readonly #writer: PacketWriter
  readonly #pace: RequestPace
  /** Whether the session rests: to be read only. */
  readonly parking: Parking
  path: PeerPath
  isConfirmed = false
  isOver = false
  lastReceivedAt: number
  #isHeld = false
  #isTouched = false
  #isPumping = false
  #wantsRoom = false
  readonly #progress: ProgressWatch
  /** Of the present carrier: to be read, and told about echoes. */
  readonly losses = new CarrierLoss()
  readonly counters = { sent: 0, resent: 0, received: 0 }
  readonly dropped: Record<string, number> = {}

  /** `sendNonce` is the base nonce of our handshake, `receiveNonce` that of the peer's. The session owns the cipher. */
  constructor(host: SessionHost, path: PeerPath, cipher: Cipher, sendNonce: Uint8Array, receiveNonce: Uint8Array) {
    this.#host = host
    this.path = path
    this.#cipher = new DataCipher(cipher, sendNonce, receiveNonce)
    this.#receiving = new ReceiveWindow(host.numbers.receiveBuffer, host.budget)
    this.congestion = new CongestionControl(host.numbers.maxInFlight)
    this.#progress = new ProgressWatch(host.numbers.stallTimeout, host.numbers.requestInterval)
    this.#writer = new PacketWriter(this.#cipher, this.sending, this.#receiving)
    this.lastReceivedAt = host.now()
    this.#pace = new RequestPace(host.numbers, this.lastReceivedAt)
    this.parking = new Parking(host.numbers)
  }

  /** Queues a lossless packet and sends what may be sent. False when the buffer is full or the session is over. */
  trySend(payload: Uint8Array): boolean {
    if (this.isOver) return false
    if (this.sending.queuedBytes >= this.#sendBuffer || this.sending.isFull) {
      this.#wantsRoom = true
      return false
    }
    this.sending.push(payload)
    this.wake()
    this.pump(this.#host.now())
    return true
  }

  /** Sends a lossy packet now or not at all. */
  sendLossy(payload: Uint8Array): boolean {
    if (this.isOver || !this.isConfirmed || this.parking.isResting || this.path.room() < payload.length) return false
    return this.#transmit(payload, this.sending.sent, false) === "sent"
  }

  /** Stops or resumes delivery. What is not delivered is not acknowledged, which holds the peer back. */
  hold(held: boolean): void {
    this.#isHeld = held
    if (held || this.isOver) return
    this.#deliver()
    this.#pace.onLateTaken(this.#host.now())
  }

  /** Takes a data packet. False when it does not open under this session's key. */
  receive(packet: Uint8Array, route: ReplyRoute): boolean {
    const { slab } = this.#host
    slab.reserve(Packet.maxDataPlaintext)
    const cipher = this.#cipher
    const drop = cipher.open(packet, slab.block, slab.at)
    if (drop !== undefined) {
      this.#drop(drop)
      return drop === "empty"
    }
    const now = this.#host.now()
    this.lastReceivedAt = now
    this.counters.received++
    if (cipher.isNewest && route.outOfBand !== true) this.path.heard(route)
    const { number, payloadAt, payloadLength } = cipher
    const id = slab.block[payloadAt]!
    if (!this.isConfirmed && id !== Packet.killId) {
      this.isConfirmed = true
      this.#host.onConfirmed(this)
    }
    if (this.parking.state !== "awake" && id !== Packet.killId) this.#stir(now, false, route)
    if (this.isOver) return true
    if (!this.#isTouched) this.#host.onTouched(this)
    this.#isTouched = true
    const delivered = this.sending.deliveredBytes
    const acknowledged = this.sending.acknowledge(cipher.acknowledged)
    if (acknowledged === "new") this.losses.onDelivered(this.sending.start)
    if (acknowledged === "new" && this.sending.isOutstanding) this.#awaitProgress(now)
    // It claims what cannot be: then nothing else in it is believed either.
    if (acknowledged === "ahead") return this.#drop("acknowledges ahead")
    if (id >= Packet.firstLosslessId && id <= Packet.lastLosslessId) {
      this.#takeLossless(number, payloadAt, payloadLength, route)
    } else if (id >= Packet.firstLossyId && id <= Packet.lastLossyId) {
      this.#receiving.learnEnd(number)
      this.#host.onLossy(this, slab.keep(payloadAt, payloadAt + payloadLength))
    } else if (id === Packet.requestId) {
      this.#receiving.learnEnd(number)
      // Its list counts from its own acknowledgement: an old one would name the wrong packets.
      if (acknowledged !== "stale") this.#takeRequest(slab.block.subarray(payloadAt, payloadAt + payloadLength), now)
    } else if (id === Packet.killId) {
      if (this.isConfirmed) this.#host.onKilled(this)
    } else this.#drop("unknown id")
    if (!this.isOver && this.sending.deliveredBytes !== delivered) this.#onProgress(now, delivered)
    return true
  }

  /** What is done once per read: acknowledge, request what is missing, send. */
  endBatch(now: number): void {
    this.#isTouched = false
    if (this.isOver) return
    if (this.#isRepeatDue(now) || this.#pace.isDueAfterBatch(now)) this.sendRequest(now)
    this.pump(now)
  }

  /** The path has room again, or another carrier. */
  pump(now: number): void {
    if (!this.isConfirmed || this.isOver || this.#isPumping) return
    const sending = this.sending
    const wasOutstanding = sending.isOutstanding
    this.#isPumping = true
    for (;;) {
      const number = sending.next()
      const isOffline = this.path.carrier() === 0
      if (number < 0) break
      // The oldest may always go: what the peer keeps behind it counts as in flight until it arrives.
      const limit = isOffline ? oobInFlight : this.congestion.window
      if (sending.inFlightBytes >= limit && number !== sending.start) break
      // The peer keeps everything behind a hole, and drops what is too much for it.
      if (number === sending.sent && sending.spanBytes >= this.#host.numbers.maxInFlight) break
      const payload = sending.payload(number)
      if (isOffline ? payload.length > oobPayload : this.path.room() < payload.length) break
      if (this.#transmit(payload, number, false) !== "sent") break
      if (sending.isResend(number)) this.counters.resent++
      else this.counters.sent++
      // Asked only now: the path may have changed its carrier while it sent.
      sending.markSent(number, now, this.path.carrier())
    }
    this.#isPumping = false
    if (!wasOutstanding && sending.isOutstanding) this.#awaitProgress(now)
    if (this.#wantsRoom && sending.queuedBytes <= this.#sendBuffer / 2 && !sending.isFull) {
      this.#wantsRoom = false
      this.#host.onWritable(this)
    }
  }

  /** Everything sent under `lost` may be gone with its relay: it is sent again, and the peer told where we stand. */
  onCarrierChange(lost: number, now: number): void {
    this.sending.markLost(lost)
    this.congestion.onPathChange()
    this.losses.reset()
    this.#progress.onDelivered()
    if (this.sending.isOutstanding) this.#awaitProgress(now)
    if (this.isOver || this.parking.isResting || this.path.carrier() === 0) return
    this.sendRequest(now)
    this.pump(now)
  }

  /** Sends a request packet: what we miss, what we have, and that we are there. */
  sendRequest(now: number): void {
    this.#pace.onRequest(now)
    const outcome = this.#writer.sendRequest(this.path, this.parking.isRepeating)
    if (outcome === "sent") this.#pace.onSent()
    else this.#pace.onRefused(now)
    this.parking.onRequest(now, outcome === "sent")
  }

  /** Begins to rest: see `Parking`. False while something is on its way to the peer, or it is being woken. */
  park(): boolean {
    if (this.isOver || !this.isConfirmed || this.sending.unacknowledged > 0) return false
    if (!this.parking.park(this.#host.now())) return false
    // The peer may want to know once more what we have.
    this.#pace.onBurst()
    return true
  }

  /** Ends the rest, if there is one: the peer is asked until it answers. */
  wake(): void {
    if (!this.isOver && this.parking.wake(this.#host.now())) this.#host.onWaking(this)
  }

  /**
   * The same by a way that need not be part of the path: out of band over a relay by which the peer has just asked. It counts as no
   * acknowledgement, because nobody knows whether more than this one packet gets through.
   */
  answerBy(reply: (packet: Uint8Array) => boolean): void {
    if (!this.isOver) reply(this.#writer.requestPacket())
  }

  /** When `onTimer` wants to be called, monotonic milliseconds. */
  get deadline(): number {
    const { isResting, state } = this.parking
    let at = this.parking.deadline
    if (state === "parked") return at
    at = Math.min(at, this.#pace.ackAt)
    if (this.#receiving.isMissing) at = Math.min(at, this.#pace.repeatAt(this.#repeatAfter()))
    if (isResting) return at
    at = Math.min(at, this.#pace.aliveAt, this.quietSince + this.#host.numbers.connectionTimeout)
    if (state === "awake" && this.sending.isOutstanding) {
      at = Math.min(at, this.#progress.probeAt, this.#progress.stallAt)
    }
    return at
  }

  /** Since when the peer has been silent although it should not. */
  get quietSince(): number {
    return Math.max(this.lastReceivedAt, this.parking.since)
  }

  /** Whether nothing has been heard for the connection timeout. */
  hasTimedOut(now: number): boolean {
    return !this.parking.isResting && now >= this.quietSince + this.#host.numbers.connectionTimeout
  }

  /** Does what is due. `lag` is how long our own event loop did not run: nobody else is to blame for that time. */
  onTimer(now: number, lag: number): void {
    this.lastReceivedAt = Math.min(now, this.lastReceivedAt + lag)
    this.#progress.excuse(lag)
    this.parking.onTimer(now, lag)
    const { isResting, state } = this.parking
    if (state === "parked") return
    if (state === "awake" && this.sending.isOutstanding) {
      if (now >= this.#progress.stallAt) {
        this.#awaitProgress(now)
        this.path.moveOn()
      } else if (now >= this.#progress.probeAt) {
        // A sign of life is asked for, and the peer told how far we have sent, so that it finds a lost tail.
        this.#progress.onProbe(now)
        this.sendRequest(now)
      }
    }
    const isDue = now >= this.#pace.ackAt || this.parking.isAskDue(now) || (!isResting && now >= this.#pace.aliveAt)
    if (isDue || this.#isRepeatDue(now)) this.sendRequest(now)
    this.pump(now)
  }

  /** Tells the peer that this is the end. */
  kill(): void {
    if (this.isConfirmed && !this.isOver) this.#transmit(killPayload, this.sending.sent, true)
  }

  /** Wipes the key and forgets all payloads. */
  dispose(): void {
    this.isOver = true
    this.#cipher.dispose()
    this.sending.clear()
    this.#receiving.clear()
  }

  #transmit(payload: Uint8Array, number: number, urgent: boolean): SendOutcome {
    const outcome = this.#writer.send(this.path, payload, number, urgent)
    if (outcome === "sent") this.#pace.onSent()
    return outcome
  }

  #takeLossless(number: number, at: number, length: number, route: ReplyRoute): void {
    const receiving = this.#receiving
    const verdict = receiving.judge(number, length)
    if (verdict !== "stored") {
      this.#drop(verdict)
      // What we have already acknowledged comes again: the acknowledgement did not arrive.
      if (verdict === "duplicate") this.#pace.onTaken(length)
      return
    }
    const payload = this.#host.slab.keep(at, at + length)
    // How to park is agreed on by link control, of which the end may come late. Anything else says that the peer does not rest.
    if (this.parking.state !== "awake" && payload[0] !== Packet.linkControlId) this.#stir(this.#host.now(), true, route)
    if (this.isOver) return
    // What is sent until here does not acknowledge it.
    this.#pace.onTaken(length)
    this.#pace.onBurst()
    if (number === receiving.start && !this.#isHeld) {
      receiving.passOne()
      this.#host.onLossless(this, payload)
      if (receiving.count > 0) this.#deliver()
    } else receiving.store(number, payload)
  }

  /** A packet has come while the session was not awake. */
  #stir(now: number, isNews: boolean, route: ReplyRoute): void {
    const by = this.parking.onPacket(now, isNews)
    if (by === undefined) return
    this.losses.reset()
    this.#progress.onDelivered()
    if (this.sending.isOutstanding) this.#awaitProgress(now)
    this.#host.onWoken(this, by, route)
  }

  #deliver(): void {
    while (!this.#isHeld && !this.isOver) {
      const payload = this.#receiving.take()
      if (payload === undefined) return
      this.#pace.onTaken(payload.length)
      this.#host.onLossless(this, payload)
    }
  }

  #takeRequest(request: Uint8Array, now: number): void {
    takeReport(
      request,
      this.sending,
      { congestion: this.congestion, losses: this.losses, progress: this.#progress },
      now
    )
    // It answers our probe: the path works, even if the peer's application takes nothing.
    if (this.sending.isOutstanding && this.#progress.isAnswer(now)) this.#awaitProgress(now)
    this.#pace.onQuestion(now, this.#isHeld)
  }

  #onProgress(now: number, deliveredBefore: number): void {
    const sending = this.sending
    this.#progress.onDelivered()
    const isLimited = sending.queuedBytes > 0 || sending.resendCount > 0
    const acked = sending.deliveredBytes - deliveredBefore
    const { sampleDelivered, sampleSentAt, deliveredBytes, inFlightBytes } = sending
    this.congestion.onAck(now, acked, sampleSentAt, sampleDelivered, deliveredBytes, inFlightBytes, isLimited)
    this.#host.onAcknowledged(this)
  }

  #awaitProgress(now: number): void {
    this.#progress.restart(now, this.congestion.patience, this.congestion.roundTrip)
  }

  #isRepeatDue(now: number): boolean {
    return this.#receiving.isMissing && now >= this.#pace.repeatAt(this.#repeatAfter())
  }

  /** How long a request for missing packets is given before it is repeated. */
  #repeatAfter(): number {
    return Math.max(10, 1.25 * (this.congestion.roundTrip ?? 40))
  }

  /** What may wait to be sent: enough to fill the window twice, so that on a slow path a packet does not wait for long. */
  get #sendBuffer(): number {
    return Math.min(this.#host.numbers.sendBuffer, Math.max(minSendBuffer, 2 * this.congestion.window))
  }

  /** Counts a dropped packet; true, because it was one of this session's. */
  #drop(cause: string): true {
    this.dropped[cause] = (this.dropped[cause] ?? 0) + 1
    return true
  }
}
