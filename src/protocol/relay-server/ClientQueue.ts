/**
 * What a relay holds for one client whose socket takes nothing: control packets, which are never dropped, and data, of which the
 * oldest makes room for the newest. Plaintext; it is sealed when it leaves, because a frame that was sealed and thrown away would
 * break the nonce sequence. It never seals, never writes, and holds no memory while it is empty.
 */
import { maxPlaintext } from "../../schema/RelayPacket.ts"
import { packetType } from "../relay/relayPacketType.ts"

/** Bytes before each data packet in the ring: its length. */
const header = 2
/** Set in a length: the packet was withdrawn. */
const withdrawn = 0x8000

/** Rings are kept for the next blocked client: sockets block and drain many times a second under load. */
const pooled = 8
const rings: Array<Uint8Array> = []

export class ClientQueue {
  readonly #byteLimit: number
  readonly #controlLimit: number
  #control: Array<Uint8Array> = []
  #ring: Uint8Array | undefined
  #head = 0
  #tail = 0
  /** Where the older half of a wrapped ring ends. */
  #wrapAt = 0
  #packets = 0
  #bytes = 0

  /** At most `byteLimit` bytes of data (more than one packet) and `controlLimit` control packets. */
  constructor(byteLimit: number, controlLimit: number) {
    this.#byteLimit = Math.max(byteLimit, maxPlaintext)
    this.#controlLimit = controlLimit
  }

  /** Control packets held. */
  get controlPackets(): number {
    return this.#control.length
  }

  /** Plaintext bytes of data held. */
  get dataBytes(): number {
    return this.#bytes
  }

  get isEmpty(): boolean {
    return this.#control.length === 0 && this.#packets === 0
  }

  /** Appends a copy of a control packet; false when there is no room, which is the client's end. */
  pushControl(plain: Uint8Array): boolean {
    if (this.#control.length >= this.#controlLimit) return false
    this.#control.push(plain.slice())
    return true
  }

  /**
   * Appends a connect or disconnect notification. A connect that has not left yet and its disconnect cancel out: a peer that
   * comes and goes cannot fill the queue of somebody who is merely slow.
   */
  pushNotification(plain: Uint8Array): boolean {
    if (plain[0] === packetType.disconnectNotification) {
      for (let i = this.#control.length - 1; i >= 0; i--) {
        const earlier = this.#control[i]!
        if (earlier[1] !== plain[1] || !isAboutId(earlier)) continue
        if (earlier[0] !== packetType.connectNotification) break
        this.#control.splice(i, 1)
        return true
      }
    }
    return this.pushControl(plain)
  }

  /** Appends a copy of a data packet, 1 to 2032 bytes. Returns how many older packets were dropped to make room. */
  pushData(plain: Uint8Array): number {
    const length = plain.length
    const ring = this.#ring ??= takeRing(this.#byteLimit)
    let dropped = 0
    while (this.#packets > 0 && (this.#bytes + length > this.#byteLimit || !this.#fits(ring, header + length))) {
      if (this.#drop(ring)) dropped++
    }
    if (this.#packets === 0) this.#head = this.#tail = 0
    else if (this.#tail > this.#head && this.#tail + header + length > ring.length) {
      this.#wrapAt = this.#tail
      this.#tail = 0
    }
    ring[this.#tail] = length >> 8
    ring[this.#tail + 1] = length
    ring.set(plain, this.#tail + header)
    this.#tail += header + length
    this.#packets++
    this.#bytes += length
    return dropped
  }

  /**
   * Withdraws the notifications and the data of a connection id whose client has given it up: the id's next holder must not receive
   * them. Returns how many data packets that were.
   */
  withdraw(id: number): number {
    this.#control = this.#control.filter((plain) => plain[1] !== id || !isNotification(plain))
    const ring = this.#ring
    if (ring === undefined) return 0
    let count = 0
    let at = this.#head
    for (let i = 0; i < this.#packets; i++) {
      at = this.#position(at)
      const marked = this.#length(ring, at)
      const length = marked & ~withdrawn
      if (marked === length && ring[at + header] === id) {
        ring[at] = (length | withdrawn) >> 8
        this.#bytes -= length
        count++
      }
      at += header + length
    }
    return count
  }

  /**
   * Hands out the oldest packets, control first, until at least `bytes` have been handed out or nothing is left. The views are valid
   * during the call.
   */
  drain(bytes: number, onControl: (plain: Uint8Array) => void, onData: (plain: Uint8Array) => void): void {
    let handed = 0
    let taken = 0
    while (taken < this.#control.length && handed < bytes) {
      const plain = this.#control[taken++]!
      handed += plain.length
      onControl(plain)
    }
    this.#control.splice(0, taken)
    const ring = this.#ring
    if (ring === undefined) return
    while (this.#packets > 0 && handed < bytes) {
      this.#head = this.#position(this.#head)
      const at = this.#head + header
      const length = this.#length(ring, this.#head)
      if (this.#drop(ring)) {
        handed += length
        onData(ring.subarray(at, at + length))
      }
    }
    if (this.#packets === 0) this.#releaseRing()
  }

  /** Forgets everything. */
  clear(): void {
    this.#control = []
    this.#releaseRing()
  }

  /** Removes the oldest packet; false when it had been withdrawn already. */
  #drop(ring: Uint8Array): boolean {
    this.#head = this.#position(this.#head)
    const marked = this.#length(ring, this.#head)
    const length = marked & ~withdrawn
    this.#head += header + length
    this.#packets--
    if (marked !== length) return false
    this.#bytes -= length
    return true
  }

  /** Whether the bytes fit in one piece, at the end or, wrapped, before the oldest packet. */
  #fits(ring: Uint8Array, size: number): boolean {
    // The oldest packet may be the first one behind the wrap.
    this.#head = this.#position(this.#head)
    if (this.#tail <= this.#head) return this.#tail + size <= this.#head
    return this.#tail + size <= ring.length || size <= this.#head
  }

  /** A position in the ring, after the jump from the end of its older half to its start. */
  #position(at: number): number {
    return this.#tail <= this.#head && at >= this.#wrapAt ? 0 : at
  }

  #length(ring: Uint8Array, at: number): number {
    return (ring[at]! << 8) | ring[at + 1]!
  }

  #releaseRing(): void {
    const ring = this.#ring
    this.#ring = undefined
    this.#packets =
      this.#bytes =
      this.#head =
      this.#tail =
        0
    if (ring !== undefined && rings.length < pooled) rings.push(ring)
  }
}

const isNotification = (plain: Uint8Array): boolean =>
  plain[0] === packetType.connectNotification || plain[0] === packetType.disconnectNotification

/** Packets whose second byte is a connection id: a response in between means that the id has a new holder. */
const isAboutId = (plain: Uint8Array): boolean => isNotification(plain) || plain[0] === packetType.routingResponse

/** The limit, and slack for headers and for the unused end of a wrapped ring. */
const takeRing = (byteLimit: number): Uint8Array => {
  const size = byteLimit + 2 * maxPlaintext
  const ring = rings.pop()
  return ring?.length === size ? ring : new Uint8Array(size)
}
