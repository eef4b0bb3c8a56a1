/**
 * The byte stream of a link over lossless packets of net_crypto (design, "Causeway or stock"): packet 176 carries the next 1..1372
 * bytes, packet 177 is link control. Our hello goes first, and no stream byte of ours goes before the peer's hello has come.
 *
 * It knows packets, bytes and frames. What a frame means is `SessionMux`'s; time is the layer's.
 */
import * as Result from "effect/Result"
import { LinkControl, type LinkHello } from "../../schema/LinkControl.ts"
import { linkControlId, maxPayload, sessionStreamId } from "../../schema/NetCryptoPacket.ts"
import type { SessionFrame } from "../../schema/SessionFrame.ts"
import { SessionFrameReader } from "../../schema/SessionFrameReader.ts"

/** Packets cut from one allocation. Cutting makes a small packet cheap; a slab lives until all of its packets are acknowledged. */
const packetsPerSlab = 16

/** Packs bytes into packets: every one full except the last before a flush. */
export class LinkPacker {
  /** Finished packets, in order, for the link to take. */
  readonly packets: Array<Uint8Array> = []
  private slab = new Uint8Array(0)
  /** The packet being filled is `start..end` of the slab; empty when they are equal. */
  private start = 0
  private end = 0

  /** Copies the bytes. */
  push(bytes: Uint8Array): void {
    let at = 0
    while (at < bytes.length) {
      if (this.start === this.end) this.begin()
      const size = Math.min(this.start + maxPayload - this.end, bytes.length - at)
      this.slab.set(size === bytes.length ? bytes : bytes.subarray(at, at + size), this.end)
      this.end += size
      at += size
      if (this.end - this.start === maxPayload) this.flush()
    }
  }

  /** Finishes the packet that is being filled, if there is one. */
  flush(): void {
    if (this.start === this.end) return
    this.packets.push(this.slab.subarray(this.start, this.end))
    this.start = this.end
  }

  private begin(): void {
    if (this.start + maxPayload > this.slab.length) {
      this.slab = new Uint8Array(packetsPerSlab * maxPayload)
      this.start = 0
    }
    this.slab[this.start] = sessionStreamId
    this.end = this.start + 1
  }
}

/** What one packet brought. */
export interface LinkInput {
  readonly frames: ReadonlyArray<SessionFrame>
  /** The packet was the peer's first hello. */
  readonly hello: LinkHello | undefined
  /** Why the link cannot be read on, after these frames. */
  readonly violation: string | undefined
}

const nothing: LinkInput = { frames: [], hello: undefined, violation: undefined }

export class LinkStream {
  /** Packets that were not understood and therefore ignored: other ids, and link control of a later version. */
  ignoredPackets = 0
  /** The peer's hello has come, so the stream is open. */
  ready = false
  private readonly trySend: (packet: Uint8Array) => boolean
  private readonly reader: SessionFrameReader
  private readonly packer = new LinkPacker()
  private greeting: Uint8Array | undefined
  /** How many packets of the packer have been sent. */
  private sent = 0

  /** `trySend` gives a packet to net_crypto, or returns false; sizes are bytes. */
  constructor(options: {
    readonly hello: LinkHello
    readonly trySend: (packet: Uint8Array) => boolean
    readonly maxFrameSize: number
  }) {
    this.greeting = LinkControl.encode(options.hello)
    this.trySend = options.trySend
    this.reader = new SessionFrameReader(options.maxFrameSize)
  }

  /** Appends to the outgoing stream. Nothing is sent before `send`. */
  push(bytes: Uint8Array): void {
    this.packer.push(bytes)
  }

  /** Ends a batch: the last bytes go although they do not fill a packet. */
  flush(): void {
    this.packer.flush()
  }

  /** Sends what is packed. False: net_crypto takes no more for now. */
  send(): boolean {
    if (this.greeting !== undefined) {
      if (!this.trySend(this.greeting)) return false
      this.greeting = undefined
    }
    if (!this.ready) return false
    const packets = this.packer.packets
    for (;;) {
      const packet = packets[this.sent]
      if (packet === undefined) break
      if (!this.trySend(packet)) return false
      this.sent++
    }
    packets.length = 0
    this.sent = 0
    return true
  }

  /** Takes one lossless packet, which then belongs to the stream. */
  receive(packet: Uint8Array): LinkInput {
    if (packet[0] === sessionStreamId) {
      if (!this.ready) return { ...nothing, violation: "session bytes before the hello" }
      const { frames, problem } = this.reader.push(packet.subarray(1))
      return { frames, hello: undefined, violation: problem?.message }
    }
    if (packet[0] !== linkControlId) {
      this.ignoredPackets++
      return nothing
    }
    const decoded = LinkControl.decode(packet)
    if (Result.isSuccess(decoded) && decoded.success._tag === "LinkHello" && !this.ready) {
      if (decoded.success.version === 0) return { ...nothing, violation: "a hello of version 0" }
      this.ready = true
      return { ...nothing, hello: decoded.success }
    }
    // A kind that only a later version knows must not end the link.
    this.ignoredPackets++
    return nothing
  }
}
