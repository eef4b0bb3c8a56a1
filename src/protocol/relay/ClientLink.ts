/**
 * One encrypted connection to a relay after its handshake, as plain code: frames in, frames out, marks, connection ids. It implements
 * `RelayLink` for the registry; `layers/relaySession` feeds it with chunks and time. It never dials, waits, retries or closes the
 * socket: it says why the connection must end.
 */
import type { PublicKey } from "../../schema/Bytes.ts"
import type { RelayAddress } from "../../schema/RelayAddress.ts"
import * as Packet from "../../schema/RelayPacket.ts"
import { FrameSealer } from "./FrameSealer.ts"
import { type MarkNumbers, MarkWindow, urgentOverdraw } from "./MarkWindow.ts"
import { frameOverhead, RelayFrames } from "./RelayFrames.ts"
import type { Fill, RelaySession } from "./relayHandshake.ts"
import { RelayIds } from "./RelayIds.ts"
import { RelayInbound } from "./RelayInbound.ts"
import type { RelayLink, RelayLinkEvents } from "./RelayLink.ts"

/** What the link needs of the world. */
export interface ClientLinkIo {
  /** Takes ownership of the bytes; false when the socket is full until `drained`. */
  readonly write: (bytes: Uint8Array) => boolean
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Runs a task after the current plain code, `queueMicrotask`. */
  readonly defer: (task: () => void) => void
  readonly fill: Fill
  /** Told once, just before `RelayLinkEvents.onConfirmed`. */
  readonly onConfirmed: () => void
}

/** A batch of this size is written at once: it fits the sealer's scratch, and the socket can begin. */
const writeSize = 48 * 1024
/** How our relays' ping ids begin: "CWY" and a version. */
const causewayPing = [0x43, 0x57, 0x59, 0x01] as const

export class ClientLink implements RelayLink {
  readonly relay: RelayAddress
  readonly #session: RelaySession
  readonly #io: ClientLinkIo
  readonly #events: RelayLinkEvents
  readonly #frames: RelayFrames
  readonly #sealer: FrameSealer
  readonly #marks: MarkWindow
  readonly #ids = new RelayIds()
  readonly #inbound: RelayInbound
  readonly #onFrame: (plain: Uint8Array) => boolean
  readonly #deferredFlush: () => void
  readonly #pingId = new Uint8Array(Packet.pingIdSize)
  #violation: string | undefined
  #confirmed = false
  #ended = false
  #inBatch = false
  #flushDeferred = false
  #socketFull = false
  #full = false
  #causeway = false

  /** `ours` is the key that the relay knows us by. The session's cipher belongs to the link from now on. */
  constructor(
    relay: RelayAddress,
    ours: PublicKey,
    session: RelaySession,
    numbers: MarkNumbers,
    io: ClientLinkIo,
    events: RelayLinkEvents
  ) {
    this.relay = relay
    this.#session = session
    this.#io = io
    this.#events = events
    this.#frames = new RelayFrames(session.cipher, session.receive)
    this.#sealer = new FrameSealer(session.cipher, session.send)
    this.#marks = new MarkWindow(numbers, io.now())
    this.#inbound = new RelayInbound(this.#ids, ours, {
      onPing: (pingId) => this.#onPing(pingId),
      onPong: (pingId) => this.#onPong(pingId),
      onRouteResponse: (id, peer) => events.onRouteResponse(this, id, peer),
      onPeerOnline: (id) => events.onPeerOnline(this, id),
      onPeerOffline: (id) => events.onPeerOffline(this, id),
      onData: (id, bytes) => events.onData(this, id, bytes),
      onOob: (sender, bytes) => this.#confirmed && events.onOob(this, sender, bytes),
      onOnion: (bytes) => this.#confirmed && events.onOnion(this, bytes),
      onForwarded: (bytes) => this.#confirmed && events.onForwarded(this, bytes)
    })
    this.#onFrame = (plain) => {
      this.#violation = this.#inbound.accept(plain)
      return this.#violation === undefined && !this.#ended
    }
    this.#deferredFlush = () => {
      this.#flushDeferred = false
      this.flush()
    }
  }

  get isCauseway(): boolean {
    return this.#causeway
  }

  /** Whether the first ping has been answered. */
  get isConfirmed(): boolean {
    return this.#confirmed
  }

  /** Packets of the relay that were ignored. */
  get dropped(): number {
    return this.#inbound.dropped
  }

  /** Sends the first frame, a ping whose pong confirms the connection. */
  begin(): void {
    this.#ping()
    this.flush()
  }

  /** Takes one chunk of a read. Returns what the relay did wrong, after which the link must be ended. */
  receive(chunk: Uint8Array): string | undefined {
    if (this.#ended) return undefined
    this.#inBatch = true
    this.#violation = this.#frames.push(chunk, this.#onFrame) ?? this.#violation
    return this.#violation
  }

  /** All chunks of one read were taken. */
  endBatch(): void {
    this.#reopen()
    if (this.#confirmed && !this.#ended) this.#events.onBatchEnd(this)
    this.#inBatch = false
    if (this.#isWaitingSilently) this.#ping()
    this.flush()
  }

  /** The socket has taken everything. */
  drained(): void {
    this.#socketFull = false
    this.#reopen()
  }

  /** When `check` has something to do, if nothing happens before. */
  get nextCheck(): number {
    return this.#marks.nextCheck
  }

  /** Pings when it is time. True when the relay has not answered one in time: the link must be ended. */
  check(now: number): boolean {
    if (this.#marks.isExpired(now)) return true
    if (this.#marks.isPingDue(now)) {
      this.#ping()
      this.flush()
    }
    return false
  }

  /** Our own program stood still until `now`: pongs get their full time again. */
  forgive(now: number): void {
    this.#marks.forgive(now)
  }

  /** Hands out what is still owed, wipes the keys and reports the loss. Idempotent. */
  end(): void {
    if (this.#ended) return
    this.#write()
    this.#ended = true
    this.#frames.stop()
    this.#sealer.dispose()
    this.#session.cipher.dispose()
    if (this.#confirmed) this.#events.onLost(this)
  }

  requestRoute(peer: PublicKey): void {
    if (this.#ended || !this.#ids.request(peer)) return
    this.#control(Packet.RoutingRequest.encode(Packet.RoutingRequest.make({ publicKey: peer })), true)
  }

  disconnect(connectionId: number): void {
    if (this.#ended || !this.#ids.release(connectionId)) return
    this.#control(Packet.DisconnectNotification.encode(Packet.DisconnectNotification.make({ connectionId })), true)
  }

  sendData(connectionId: number, frame: Uint8Array, length: number, urgent: boolean): boolean {
    if (length < 2 || length > Packet.maxPlaintext) throw new RangeError(`a data packet of ${length - 1} bytes`)
    if (!this.#ids.isOnline(connectionId) || !this.#mayAppend(length, urgent)) return false
    frame[0] = connectionId
    this.#append(frame, length, true)
    return true
  }

  sendOob(destination: PublicKey, payload: Uint8Array): boolean {
    // Encoded first: a payload that no OOB packet holds is a bug of the caller, also when there is no room.
    const packet = Packet.OobSend.encode(Packet.OobSend.make({ destination, payload }))
    return this.#offer(packet, true)
  }

  sendOnion(payload: Uint8Array): boolean {
    return this.#offer(Packet.OnionRequest.encode(Packet.OnionRequest.make({ payload })), false)
  }

  sendForward(payload: Uint8Array): boolean {
    return this.#offer(Packet.ForwardRequest.encode(Packet.ForwardRequest.make({ payload })), false)
  }

  room(): number {
    if (this.#marks.isFull) this.#noteFull()
    return this.#ended || this.#socketFull ? 0 : this.#marks.room
  }

  stuckSince(): number | undefined {
    return this.#marks.stuckSince
  }

  roundTrip(): number | undefined {
    return this.#marks.roundTrip
  }

  flush(): void {
    if (this.#ended) return
    if (this.#marks.isTrailingMarkDue) this.#ping()
    this.#write()
  }

  #write(): void {
    const bytes = this.#sealer.take()
    if (bytes === undefined || this.#io.write(bytes)) return
    this.#socketFull = true
    this.#noteFull()
  }

  /**
   * Whether the window is full and this read brought no room. A stock relay leaves Nagle's algorithm on: it holds the pongs back
   * until our side has acknowledged what we just read, which the operating system delays by 40 ms unless we write something. Half
   * of the overdraw is left to urgent packets.
   */
  get #isWaitingSilently(): boolean {
    return this.#full && !this.#socketFull && !this.#causeway && !this.#ended && this.#sealer.size === 0 &&
      this.#marks.fits(urgentOverdraw / 2, true)
  }

  #mayAppend(length: number, urgent: boolean): boolean {
    if (this.#ended) return false
    if ((urgent || !this.#socketFull) && this.#marks.fits(length + frameOverhead, urgent)) return true
    this.#noteFull()
    return false
  }

  #offer(packet: Uint8Array, urgent: boolean): boolean {
    if (!this.#mayAppend(packet.length, urgent)) return false
    this.#append(packet, packet.length, true)
    return true
  }

  /** Never refused: these are few, and a relay that takes nothing is lost after the write deadline. */
  #control(packet: Uint8Array, needsMark: boolean): void {
    this.#append(packet, packet.length, needsMark)
  }

  /** A ping is a mark, whatever it is sent for. The caller sees to it that it is written. */
  #ping(): void {
    const pingId = this.#pingId
    this.#io.fill(pingId)
    // Zero is no ping id: stock relays close on its pong.
    if (pingId.every((byte) => byte === 0)) pingId[7] = 1
    const packet = Packet.Ping.encode(Packet.Ping.make({ pingId }))
    this.#sealer.append(packet, packet.length)
    this.#marks.mark(half(pingId, 0), half(pingId, 4), this.#io.now())
  }

  #onPing(pingId: Uint8Array): void {
    if (!this.#causeway && causewayPing.every((byte, i) => pingId[i] === byte)) {
      this.#causeway = true
      this.#marks.allowGrowth()
    }
    this.#control(Packet.Pong.encode(Packet.Pong.make({ pingId })), false)
  }

  #onPong(pingId: Uint8Array): void {
    if (!this.#marks.pong(half(pingId, 0), half(pingId, 4), this.#io.now()) || this.#confirmed) return
    this.#confirmed = true
    this.#io.onConfirmed()
    this.#events.onConfirmed(this)
  }

  #noteFull(): void {
    if (this.#full) return
    this.#full = true
    this.#marks.noteFull(this.#io.now())
  }

  #reopen(): void {
    if (!this.#full || this.#socketFull || this.#ended || this.#marks.isFull) return
    this.#full = false
    this.#marks.noteRoom()
    if (this.#confirmed) this.#events.onWritable(this)
  }

  #append(plain: Uint8Array, length: number, needsMark: boolean): void {
    this.#sealer.append(plain, length)
    this.#marks.sent(length + frameOverhead, needsMark)
    if (this.#marks.isMarkDue) this.#ping()
    if (this.#marks.isFull) this.#noteFull()
    if (this.#sealer.size >= writeSize) this.#write()
    this.#flushSoon()
  }

  #flushSoon(): void {
    if (this.#inBatch || this.#flushDeferred) return
    this.#flushDeferred = true
    this.#io.defer(this.#deferredFlush)
  }
}

/** Four bytes of a ping id as an unsigned number. */
const half = (pingId: Uint8Array, at: number): number =>
  ((pingId[at]! << 24) | (pingId[at + 1]! << 16) | (pingId[at + 2]! << 8) | pingId[at + 3]!) >>> 0
