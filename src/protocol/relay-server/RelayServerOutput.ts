/**
 * What leaves for one relay client. While the socket takes bytes, packets are sealed straight into the open batch; while it is
 * blocked they wait as plaintext in a bounded queue. It decides what is dropped, and never closes anything.
 */
import { firstConnectionId } from "../../schema/RelayPacket.ts"
import type { Cipher } from "../crypto/Crypto.ts"
import { FrameSealer } from "../relay/FrameSealer.ts"
import { ClientQueue } from "./ClientQueue.ts"
import type { RelayServerPort, RelayServerShared } from "./RelayServerShared.ts"

/**
 * A batch of this size is written without waiting for the end of the read batch, so that a socket that is full says so while the
 * rest of the batch can still be queued, and so that progress shows in pieces of this size.
 */
const flushAt = 60 * 1024
/** How much of the queue is sealed at a time: control packets that come meanwhile wait behind no more than this. */
const drainAt = 32 * 1024

export class RelayServerOutput {
  readonly #sealer: FrameSealer
  readonly #port: RelayServerPort
  readonly #shared: RelayServerShared
  #queue: ClientQueue | undefined
  #blockedSince: number | undefined
  #pendingSeen = 0
  #disposed = false

  /** `nonce` is the base nonce that we sent in our hello. */
  constructor(cipher: Cipher, nonce: Uint8Array, port: RelayServerPort, shared: RelayServerShared) {
    this.#sealer = new FrameSealer(cipher, nonce)
    this.#port = port
    this.#shared = shared
  }

  get isBlocked(): boolean {
    return this.#blockedSince !== undefined
  }

  /** Whether so many control packets wait that their receiver must not cause more: reading from it should pause. */
  get isCrowded(): boolean {
    return this.#queue !== undefined && this.#queue.controlPackets * 2 >= this.#shared.limits.clientControlFrames
  }

  /** Sends a control packet; false when too many wait, which is the client's end. */
  control(plain: Uint8Array): boolean {
    if (this.#disposed) return true
    if (this.#blockedSince !== undefined) return this.#waiting().pushControl(plain)
    this.#sealer.append(plain, plain.length)
    return true
  }

  /** Sends a connect or disconnect notification; as `control`. */
  notification(plain: Uint8Array): boolean {
    if (this.#disposed) return true
    if (this.#blockedSince !== undefined) return this.#waiting().pushNotification(plain)
    this.#sealer.append(plain, plain.length)
    return true
  }

  /** Sends a packet that may be dropped: data or out of band. */
  data(plain: Uint8Array): void {
    if (this.#disposed) return
    if (this.#blockedSince !== undefined) {
      this.#shared.counters.droppedPackets += this.#waiting().pushData(plain)
      return
    }
    this.#sealData(plain)
    if (this.#sealer.size >= flushAt) this.flush()
  }

  /** A connection id has been given up: what waits for it must not reach the id's next holder. */
  withdraw(id: number): void {
    if (this.#queue !== undefined) this.#shared.counters.droppedPackets += this.#queue.withdraw(id)
  }

  /** Writes the open batch. */
  flush(): void {
    const bytes = this.#sealer.take()
    if (bytes === undefined || this.#port.write(bytes)) return
    this.#pendingSeen = this.#port.pendingBytes()
    this.#blockedSince ??= this.#shared.now
  }

  /** The socket takes bytes again: sends what waits, until it blocks once more. */
  drained(): void {
    if (this.#blockedSince === undefined || this.#disposed) return
    this.#blockedSince = undefined
    const queue = this.#queue
    if (queue === undefined) return
    while (!queue.isEmpty && this.#blockedSince === undefined) {
      queue.drain(drainAt, this.#sealControl, this.#sealData)
      this.flush()
    }
    if (queue.isEmpty) this.#queue = undefined
  }

  /** For how long the socket has been blocked without taking anything, milliseconds; to be asked regularly. */
  blockedFor(): number {
    if (this.#blockedSince === undefined) return 0
    const pending = this.#port.pendingBytes()
    if (pending < this.#pendingSeen) this.#blockedSince = this.#shared.now
    this.#pendingSeen = pending
    return this.#shared.now - this.#blockedSince
  }

  /** Drops everything that has not been written. Idempotent; afterwards all sends are ignored. */
  dispose(): void {
    this.#disposed = true
    this.#blockedSince = undefined
    this.#queue?.clear()
    this.#queue = undefined
    this.#sealer.dispose()
  }

  #waiting(): ClientQueue {
    const { clientControlFrames, clientQueueBytes } = this.#shared.limits
    return this.#queue ??= new ClientQueue(clientQueueBytes, clientControlFrames)
  }

  readonly #sealControl = (plain: Uint8Array): void => {
    this.#sealer.append(plain, plain.length)
  }

  readonly #sealData = (plain: Uint8Array): void => {
    this.#sealer.append(plain, plain.length)
    if (plain[0]! < firstConnectionId) return
    this.#shared.counters.forwardedPackets++
    this.#shared.counters.forwardedBytes += plain.length - 1
  }
}
