/**
 * The byte stream of a relayed link over lossless packets of net_crypto (design, "Causeway or stock"): packet 176 carries the next
 * 1..1372 bytes, packet 177 is link control. Our hello goes first, and no stream byte of ours goes before the peer's hello has come.
 *
 * It knows packets and bytes. What the bytes mean is `SessionMux`'s; time is the layer's.
 */
import * as Result from "effect/Result"
import { LinkControl, type LinkHello } from "../../schema/LinkControl.ts"
import { linkControlId, maxPayload, sessionStreamId } from "../../schema/NetCryptoPacket.ts"
import type { LinkOutput } from "./LinkOutput.ts"

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
export type RelayedInput =
  | { readonly _tag: "Hello"; readonly hello: LinkHello }
  /** The next bytes of the peer's stream. */
  | { readonly _tag: "Bytes"; readonly bytes: Uint8Array }
  /** Link control of a peer that has said hello. */
  | { readonly _tag: "Control"; readonly control: Exclude<LinkControl, LinkHello> }
  /** Another id, or link control of a later version, which must not end the link. */
  | { readonly _tag: "Ignored" }
  | { readonly _tag: "Violation"; readonly detail: string }

const ignored: RelayedInput = { _tag: "Ignored" }

export class RelayedStream implements LinkOutput {
  /** The peer's hello has come, so the stream is open. */
  ready = false
  readonly hold: (held: boolean) => void
  private readonly trySend: (packet: Uint8Array) => boolean
  private readonly packer = new LinkPacker()
  /** Link control that waits for room, our hello first. */
  private readonly controls: Array<Uint8Array>
  /** How many packets of the packer have been sent. */
  private sent = 0

  /** `trySend` gives a packet to net_crypto, or returns false; `hold` stops and resumes its delivery. */
  constructor(options: {
    readonly hello: LinkHello
    readonly trySend: (packet: Uint8Array) => boolean
    readonly hold: (held: boolean) => void
  }) {
    this.controls = [LinkControl.encode(options.hello)]
    this.trySend = options.trySend
    this.hold = options.hold
  }

  push(bytes: Uint8Array): void {
    this.packer.push(bytes)
  }

  flush(): void {
    this.packer.flush()
  }

  /** Sends link control, in order, before stream bytes that wait. Only to a peer that has said hello. */
  control(control: Exclude<LinkControl, LinkHello>): void {
    this.controls.push(LinkControl.encode(control))
    this.sendControls()
  }

  send(): boolean {
    if ((this.controls.length > 0 && !this.sendControls()) || !this.ready) return false
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
  receive(packet: Uint8Array): RelayedInput {
    if (packet[0] === sessionStreamId) {
      if (!this.ready) return { _tag: "Violation", detail: "session bytes before the hello" }
      return { _tag: "Bytes", bytes: packet.subarray(1) }
    }
    if (packet[0] !== linkControlId) return ignored
    const decoded = LinkControl.decode(packet)
    if (Result.isFailure(decoded)) return ignored
    const control = decoded.success
    if (control._tag !== "LinkHello") return this.ready ? { _tag: "Control", control } : ignored
    if (this.ready) return ignored
    if (control.version === 0) return { _tag: "Violation", detail: "a hello of version 0" }
    this.ready = true
    return { _tag: "Hello", hello: control }
  }

  /** Sends the link control that waits for room, and nothing else. False: there is no room yet. */
  sendControls(): boolean {
    for (;;) {
      // Taken out first: sending may bring packets, and answers to them, before it returns.
      const control = this.controls.shift()
      if (control === undefined) return true
      if (this.trySend(control)) continue
      this.controls.unshift(control)
      return false
    }
  }
}
