/**
 * A net_crypto connection as a link of sessions: it says hello, finds out who answers, and from then on passes bytes between the
 * connection and the multiplexer of that peer's process. While another link carries the sessions it stays open, for link control and
 * for the way back.
 */
import type { MuxLink } from "../protocol/session/MuxLink.ts"
import { RelayedStream } from "../protocol/session/RelayedStream.ts"
import type { SessionMux } from "../protocol/session/SessionMux.ts"
import { type LinkControl, LinkHello, linkVersion } from "../schema/LinkControl.ts"
import type { NetCryptoConnection } from "../services/NetCrypto.ts"
import type { NetCryptoError } from "../services/NetCryptoError.ts"

/** Link control after the hello. */
export type PeerControl = Exclude<LinkControl, LinkHello>

/** Who the link is for. Plain synchronous calls. */
export interface RelayedLinkOwner {
  /** The sessions with the process that this hello names. Undefined: the connection is no longer wanted, and whatever it brings is nothing. */
  readonly muxOf: (instanceId: Uint8Array) => SessionMux | undefined
  /** Whether sessions are to run over this link from the hello on. */
  readonly carries: () => boolean
  /** Whether sessions may run over it when the peer begins on it. */
  readonly mayCarry: () => boolean
  /** Link control of the peer, after its hello. */
  readonly onControl: (control: PeerControl) => void
  /** A parked connection is in use again. */
  readonly onWoken: (by: "us" | "peer") => void
  /** The peer broke the rules before there were sessions. */
  readonly onViolation: (detail: string) => void
  /** The connection is over; called once. */
  readonly onClosed: (error: NetCryptoError) => void
}

export class RelayedLink {
  readonly connection: NetCryptoConnection
  readonly #stream: RelayedStream
  readonly #owner: RelayedLinkOwner
  /** The sessions that it is for, from the peer's hello on. */
  #mux: SessionMux | undefined = undefined
  /** Since sessions have run over it. */
  #link: MuxLink | undefined = undefined
  #ignoredPackets = 0
  /** What came before `start`: it counts unless the end came as well, because by then another link may be in use. */
  #early: Array<Uint8Array> | undefined = []
  #isOver = false

  /** `instanceId`: ours, 16 bytes. */
  constructor(connection: NetCryptoConnection, instanceId: Uint8Array, owner: RelayedLinkOwner) {
    this.connection = connection
    this.#owner = owner
    this.#stream = new RelayedStream({
      hello: LinkHello.make({ version: linkVersion, instanceId }),
      trySend: connection.trySend,
      hold: connection.hold
    })
  }

  /** The peer's hello has come, and it is a process whose sessions we have. */
  get isGreeted(): boolean {
    return this.#mux !== undefined && !this.#isOver
  }

  /** Sessions have run over it. */
  get hasCarried(): boolean {
    return this.#link?.wasUsed === true
  }

  /** Takes over the lossless packets of the connection. Once. False: it is over already, and nothing has come of it. */
  start(): boolean {
    this.#stream.send()
    this.connection.handle({
      onLossless: (packet) => {
        if (this.#early === undefined) this.#receive(packet)
        else this.#early.push(packet)
      },
      onLossy: () => undefined,
      onWritable: () => {
        if (this.#mux === undefined) this.#stream.send()
        else if (this.#stream.sendControls()) this.#link?.writable(0)
      },
      onWoken: (by) => this.#owner.onWoken(by),
      onClosed: (error) => {
        this.#isOver = true
        if (this.#link !== undefined) this.#mux?.detach(this.#link)
        if (this.#early === undefined) this.#owner.onClosed(error)
      }
    })
    if (this.#isOver) return false
    const packets = this.#early ?? []
    this.#early = undefined
    for (const packet of packets) this.#receive(packet)
    return true
  }

  /** Makes the sessions run over it again, after another link. The peer need not have noticed that the other one is lost. */
  takeBack(): void {
    this.carry()
    if (this.#link !== undefined && this.#link.epoch === undefined) this.#mux?.reattach(this.#link)
  }

  /** Makes the sessions run over it. Nothing before the peer's hello. */
  carry(): void {
    const mux = this.#mux
    if (mux === undefined || this.#isOver) return
    if (this.#link === undefined) this.#attach(mux, false)
    else if (mux.link !== this.#link) mux.reattach(this.#link)
    this.#link?.pump()
  }

  /** Sends link control. Nothing before the peer's hello. */
  control(control: PeerControl): void {
    if (this.isGreeted) this.#stream.control(control)
  }

  #attach(mux: SessionMux, idle: boolean): void {
    const options = { idle, mayFollow: this.#owner.mayCarry }
    this.#link = mux.attach([this.#stream], () => this.connection.stats().roundTrip, options)
    mux.dropped.ignoredPackets += this.#ignoredPackets
  }

  #receive(packet: Uint8Array): void {
    const input = this.#stream.receive(packet)
    switch (input._tag) {
      case "Hello":
        this.#mux = this.#owner.muxOf(input.hello.instanceId.slice())
        if (this.#owner.carries()) this.carry()
        return
      case "Bytes":
        // The peer begins on a link that we keep for later. Its bytes are read in any case, or the next ones would make no sense.
        if (this.#link === undefined && this.#mux !== undefined) this.#attach(this.#mux, true)
        return this.#link?.receive(0, input.bytes)
      case "Control":
        if (this.#mux !== undefined) this.#owner.onControl(input.control)
        return
      case "Ignored":
        if (this.#link === undefined) this.#ignoredPackets++
        else if (this.#mux !== undefined) this.#mux.dropped.ignoredPackets++
        return
      case "Violation":
        if (this.#mux === undefined || this.#link === undefined) this.#owner.onViolation(input.detail)
        else this.#mux.violate(this.#link, input.detail)
    }
  }
}
