/**
 * A net_crypto connection as a link of sessions: it says hello, finds out who answers, and from then on passes bytes between the
 * connection and the multiplexer of that peer's process.
 */
import type { MuxLink } from "../protocol/session/MuxLink.ts"
import { RelayedStream } from "../protocol/session/RelayedStream.ts"
import type { SessionMux } from "../protocol/session/SessionMux.ts"
import { LinkHello, linkVersion } from "../schema/LinkControl.ts"
import type { NetCryptoConnection } from "../services/NetCrypto.ts"
import type { NetCryptoError } from "../services/NetCryptoError.ts"

/** Who the link is for. Plain synchronous calls. */
export interface RelayedLinkOwner {
  /** The sessions with the process that this hello names. Undefined: the connection is no longer wanted, and whatever it brings is nothing. */
  readonly muxOf: (instanceId: Uint8Array) => SessionMux | undefined
  /** The peer broke the rules before there were sessions. */
  readonly onViolation: (detail: string) => void
  /** The connection is over; called once. */
  readonly onClosed: (error: NetCryptoError) => void
}

/**
 * Takes over the lossless packets of a connection. `instanceId`: ours, 16 bytes. False: the connection is over already, and nothing has
 * come of it.
 */
export const attach = (connection: NetCryptoConnection, instanceId: Uint8Array, owner: RelayedLinkOwner): boolean => {
  let attached: { readonly mux: SessionMux; readonly link: MuxLink } | undefined
  const stream = new RelayedStream({
    hello: LinkHello.make({ version: linkVersion, instanceId }),
    trySend: connection.trySend,
    hold: connection.hold
  })
  let ignoredPackets = 0
  /** What came before `handle`: it counts unless the end came as well, because by then another link may be in use. */
  let early: Array<Uint8Array> | undefined = []
  let isOver = false
  const receive = (packet: Uint8Array): void => {
    const input = stream.receive(packet)
    switch (input._tag) {
      case "Hello": {
        const mux = owner.muxOf(input.hello.instanceId.slice())
        if (mux === undefined) return
        const link = mux.attach([stream], () => connection.stats().roundTrip)
        attached = { mux, link }
        mux.dropped.ignoredPackets += ignoredPackets
        link.pump()
        return
      }
      case "Bytes":
        return attached?.link.receive(0, input.bytes)
      case "Ignored":
        if (attached === undefined) ignoredPackets++
        else attached.mux.dropped.ignoredPackets++
        return
      case "Violation":
        if (attached === undefined) owner.onViolation(input.detail)
        else attached.mux.violate(attached.link, input.detail)
    }
  }
  stream.send()
  connection.handle({
    onLossless: (packet) => {
      if (early === undefined) receive(packet)
      else early.push(packet)
    },
    onLossy: () => undefined,
    onWritable: () => {
      if (attached === undefined) stream.send()
      else attached.link.writable(0)
    },
    onClosed: (error) => {
      isOver = true
      attached?.mux.detach(attached.link)
      if (early === undefined) owner.onClosed(error)
    }
  })
  if (isOver) return false
  const packets = early
  early = undefined
  for (const packet of packets) receive(packet)
  return true
}
