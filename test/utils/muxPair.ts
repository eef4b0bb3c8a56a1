/**
 * Two multiplexers joined by fake connections whose deliveries, ends and successors the test decides, and the frames of one side
 * spoken by hand. A link is made of one connection for each of its streams.
 */
import * as DirectLinkCarrier from "../../src/layers/directLink.ts"
import type { MuxLink } from "../../src/protocol/session/MuxLink.ts"
import { RelayedStream } from "../../src/protocol/session/RelayedStream.ts"
import { SessionMux } from "../../src/protocol/session/SessionMux.ts"
import type { SessionMuxNumbers } from "../../src/protocol/session/sessionMuxOptions.ts"
import type { SessionState } from "../../src/protocol/session/SessionState.ts"
import { LinkHello } from "../../src/schema/LinkControl.ts"
import { maxPayload, sessionStreamId } from "../../src/schema/NetCryptoPacket.ts"
import { joined } from "../../src/schema/Payload.ts"
import { Bytes, Resume, SessionFrame } from "../../src/schema/SessionFrame.ts"
import { SessionFrameReader } from "../../src/schema/SessionFrameReader.ts"
import { PeerClosed } from "../../src/services/NetCryptoError.ts"
import { directLink } from "./fakeDirect.ts"
import { type FakeEnd, pair } from "./FakeNetCrypto.ts"

export const numbers: SessionMuxNumbers = {
  initialWindow: 64 * 1024,
  maxWindow: 16 * 1024 * 1024,
  windowBudget: 64 * 1024 * 1024,
  creditStep: 64 * 1024,
  maxFramePayload: 16 * 1024,
  maxFrameSize: 1024 * 1024,
  maxDatagramSize: 1_200,
  replyBacklog: 64 * 1024,
  maxIncomingSessions: 4
}

/** Monotonic milliseconds and the links' round trip, as the test sets them. */
export interface Times {
  now: number
  roundTrip: number | undefined
}

export interface Side {
  readonly mux: SessionMux
  /** Its end of the newest link: of the first stream, and of all. */
  end: FakeEnd
  ends: ReadonlyArray<FakeEnd>
  /** The links it has taken into use, the newest last. */
  readonly taken: Map<PairLink, MuxLink>
  creditLater: boolean
  changes: number
}

export const instance = (fill: number): Uint8Array => new Uint8Array(16).fill(fill)
export const hello = (fill: number) => LinkHello.make({ version: 1, instanceId: instance(fill) })

// --- what an application does with a session

export interface Taken {
  readonly descriptor: number
  readonly length: number
  readonly payload: Uint8Array
}

/** Takes every value there is, and opens credit for them. */
export const takeValues = (side: Side, session: SessionState): ReadonlyArray<Taken> => {
  const values: Array<Taken> = []
  let cost = 0
  for (let value = session.take(); value !== undefined; value = session.take()) {
    cost += value.cost
    values.push({ descriptor: value.descriptor, length: value.length, payload: joined(value.payload) })
  }
  session.consume(cost)
  side.mux.touch(session)
  return values
}

/** The same for a session of bytes. */
export const take = (side: Side, session: SessionState): Uint8Array =>
  new Uint8Array(Buffer.concat(takeValues(side, session).map(({ payload }) => payload)))

export const write = (side: Side, session: SessionState, ...chunks: ReadonlyArray<Uint8Array>): void => {
  session.write(chunks)
  side.mux.touch(session)
}

export const end = (side: Side, session: SessionState): void => {
  session.end()
  side.mux.touch(session)
}

// --- links

/** Passes bytes between connections and a multiplexer, once the peer has said hello on all of them. */
const attach = (
  self: Side,
  ends: ReadonlyArray<FakeEnd>,
  greeting: LinkHello,
  times: Times,
  onAttached: (link: MuxLink) => void = () => undefined
): void => {
  self.ends = ends
  self.end = ends[0] ?? self.end
  let link: MuxLink | undefined
  const streams = ends.map((end) => new RelayedStream({ hello: greeting, trySend: end.trySend, hold: end.hold }))
  for (const stream of streams) stream.send()
  for (const [index, end] of ends.entries()) {
    end.handle({
      onLossless: (packet) => {
        const input = streams[index]?.receive(packet)
        if (input?._tag === "Hello") {
          // What follows belongs to the link, which has to wait for the other streams.
          const isReady = streams.every((stream) => stream.ready)
          for (const [at, other] of ends.entries()) other.hold(!isReady && streams[at]?.ready === true)
          if (!isReady) return
          link = self.mux.attach(streams, () => times.roundTrip)
          onAttached(link)
          link.pump()
        } else if (input?._tag === "Bytes") {
          link?.receive(index, input.bytes)
        } else if (input?._tag === "Violation") {
          if (link === undefined) self.mux.fail(input)
          else self.mux.violate(link, input.detail)
        } else {
          self.mux.dropped.ignoredPackets++
        }
      },
      onLossy: () => undefined,
      onWritable: () => {
        if (link === undefined) streams[index]?.send()
        else link.writable(index)
      },
      onClosed: () => {
        if (link !== undefined) self.mux.detach(link)
      }
    })
  }
}

const makeSide = (end: FakeEnd, greater: boolean, some: Partial<SessionMuxNumbers>, times: Times): Side => {
  const self: Side = {
    end,
    ends: [end],
    taken: new Map(),
    creditLater: false,
    changes: 0,
    mux: new SessionMux({
      instanceId: instance(greater ? 2 : 1),
      greater,
      numbers: { ...numbers, ...some },
      now: () => times.now,
      onChange: () => void self.changes++,
      onCreditLater: () => {
        self.creditLater = true
      }
    })
  }
  return self
}

/** Both ends of the connections of one link. */
export interface PairLink {
  readonly a: ReadonlyArray<FakeEnd>
  readonly b: ReadonlyArray<FakeEnd>
  /** Nothing arrives over it any more. */
  severed: boolean
  /** A side takes it into use; a relayed link does that by itself when the peer's hello has come. */
  readonly take: (side: "a" | "b") => void
}

export interface MuxPairOptions extends Partial<SessionMuxNumbers> {
  readonly sendBuffer?: number
  /** Streams of the first link; 0: there is none yet. */
  readonly streams?: number
}

/** Both sides ours; `a` is the lesser. */
export const muxPair = (options: MuxPairOptions = {}) => {
  const { sendBuffer, streams, ...some } = options
  const times: Times = { now: 0, roundTrip: undefined }
  const nowhere = pair()
  const a = makeSide(nowhere.lesser, false, some, times)
  const b = makeSide(nowhere.greater, true, some, times)
  const sides = { a, b }
  const links: Array<PairLink> = []

  /** A new link, which each side takes into use when it gets the other's hello. Earlier ones stay as they are. */
  const connect = (count = 1): PairLink => {
    const link = makeLink(count, () => undefined)
    for (const [side, fill] of [["a", 1], ["b", 2]] as const) {
      attach(sides[side], link[side], hello(fill), times, (at) => void sides[side].taken.set(link, at))
    }
    return link
  }

  /** A new direct link, which each side takes into use when it is told to. */
  const connectDirect = (count = 1): PairLink => {
    const link: PairLink = makeLink(count, (side) => {
      const { mux, taken } = sides[side]
      if (!taken.has(link)) taken.set(link, DirectLinkCarrier.attach(directLink(link[side]), mux).link)
    })
    return link
  }

  const makeLink = (count: number, take: PairLink["take"]): PairLink => {
    const pairs = Array.from({ length: count }, () => pair(sendBuffer === undefined ? {} : { sendBuffer }))
    const link: PairLink = {
      a: pairs.map(({ lesser }) => lesser),
      b: pairs.map(({ greater }) => greater),
      severed: false,
      take
    }
    links.push(link)
    return link
  }

  /** Loses everything a link has not delivered, and all that is sent on it from now on. Nobody notices. */
  const sever = (link: PairLink | undefined = links.at(-1)): void => {
    if (link !== undefined) link.severed = true
    for (const end of [...link?.a ?? [], ...link?.b ?? []]) {
      end.peer = undefined
      end.queue.length = 0
      end.queuedBytes = 0
    }
  }

  /** A side notices that a link is no more. */
  const notice = (side: "a" | "b", link: PairLink | undefined = links.at(-1)): void => {
    for (const end of link?.[side] ?? []) end.end(new PeerClosed())
  }

  /** Loses everything a link has not delivered, and both sides notice. */
  const cut = (link: PairLink | undefined = links.at(-1)): void => {
    sever(link)
    notice("a", link)
    notice("b", link)
  }

  /** Delivers and lets credit intervals pass until nothing moves any more. */
  const settle = (): void => {
    for (;;) {
      let moved = 0
      for (const link of links) for (const end of [...link.a, ...link.b]) moved += end.deliver()
      for (const self of [a, b]) {
        if (!self.creditLater) continue
        self.creditLater = false
        self.mux.creditInterval()
        moved++
      }
      if (moved === 0) return
    }
  }
  if (streams !== 0) {
    connect(streams)
    settle()
  }
  return { a, b, links, times, connect, connectDirect, sever, notice, cut, settle }
}

/** A session that `a` has opened and `b` has accepted. */
export const openedPair = (options: MuxPairOptions = {}) => {
  const pair = muxPair(options)
  const atA = pair.a.mux.open("test")
  pair.settle()
  const atB = acceptOffer(pair.b)
  pair.settle()
  return { ...pair, atA, atB }
}

/** Accepts the oldest session that the peer offers. */
export const acceptOffer = (side: Side): SessionState => {
  const session = side.mux.takeOffer()
  if (session === undefined) throw new Error("nothing was offered")
  session.accept()
  side.mux.touch(session)
  return session
}

// --- by hand

/** A value that is not bytes. */
export interface OtherValue extends Taken {
  readonly _tag: "Value"
  readonly sessionId: number
}

export interface ByHandOptions extends Partial<SessionMuxNumbers> {
  /** Whether there is an exchange of hellos. */
  readonly greet?: boolean
  /** Whether there is an exchange of Resumes behind it. */
  readonly resume?: boolean
}

export const resume = (epoch: number, ...sessions: ReadonlyArray<readonly [id: number, received: number]>) =>
  Resume.make({
    instanceId: instance(2),
    epoch,
    sessions: sessions.map(([sessionId, received]) => ({ _tag: "ResumedSession", sessionId, received }))
  })

/** Our side is the lesser; the greater is spoken by hand, after an exchange of hellos and Resumes unless told otherwise. */
export const byHand = (options: ByHandOptions = {}) => {
  const { greet = true, resume: resumes = greet, ...some } = options
  const times: Times = { now: 0, roundTrip: undefined }
  const received: Array<SessionFrame | OtherValue> = []
  const packets: Array<Uint8Array> = []
  let theirs = pair().greater
  const our = makeSide(theirs, false, some, times)

  const connect = (fill = 2): void => {
    const ends = pair()
    const reader = new SessionFrameReader({
      onValue: (sessionId, descriptor, length, payload) => {
        const isBytes = descriptor === 0x0c
        received.push(
          isBytes
            ? Bytes.make({ sessionId, bytes: joined(payload) })
            : { _tag: "Value", sessionId, descriptor, length, payload: joined(payload) }
        )
        return true
      },
      onControl: (frame) => received.push(frame) > 0
    })
    ends.greater.handle({
      onLossless: (packet) => {
        packets.push(packet.slice())
        if (packet[0] === sessionStreamId) reader.push(packet.subarray(1))
      },
      onLossy: () => undefined,
      onWritable: () => undefined,
      onClosed: () => undefined
    })
    theirs = ends.greater
    attach(our, [ends.lesser], hello(1), times)
    if (greet) sendPacket(LinkHello.encode(hello(fill)))
  }
  const sendPacket = (packet: Uint8Array): void => {
    theirs.trySend(packet)
    theirs.deliver()
  }
  const sendBytes = (bytes: Uint8Array): void => {
    for (let at = 0; at < bytes.length; at += maxPayload - 1) {
      sendPacket(Uint8Array.of(sessionStreamId, ...bytes.subarray(at, at + maxPayload - 1)))
    }
  }
  const send = (...frames: ReadonlyArray<SessionFrame>): void => {
    for (const frame of frames) sendBytes(SessionFrame.encode(frame))
  }
  /** The frames we have sent since the last call. */
  const sent = (): ReadonlyArray<SessionFrame | OtherValue> => {
    for (const end of our.ends) end.deliver()
    return received.splice(0)
  }
  connect()
  if (resumes) {
    send(resume(1))
    sent()
    packets.length = 0
  }
  return {
    our,
    times,
    packets,
    /** Another link of the peer: the same process, or another one. The one before stays as it is. */
    connect,
    /** The end of the newest link: both notice. */
    cut: () => our.end.end(new PeerClosed()),
    /** Sends what follows on the newest link, or on one that `theirs` gave. */
    speakOn: (end: FakeEnd) => {
      theirs = end
    },
    theirs: () => theirs,
    send,
    sendPacket,
    sendBytes,
    sent,
    deliver: () => our.end.deliver()
  }
}
