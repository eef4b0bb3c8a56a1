/** Two multiplexers joined by a fake connection whose deliveries the test decides, and the frames of one side spoken by hand. */
import { SessionMux } from "../../src/protocol/session/SessionMux.ts"
import type { SessionMuxNumbers } from "../../src/protocol/session/sessionMuxOptions.ts"
import { LinkHello } from "../../src/schema/LinkControl.ts"
import { sessionStreamId } from "../../src/schema/NetCryptoPacket.ts"
import { SessionFrame } from "../../src/schema/SessionFrame.ts"
import { SessionFrameReader } from "../../src/schema/SessionFrameReader.ts"
import { type FakeEnd, pair } from "./FakeNetCrypto.ts"

export const numbers: SessionMuxNumbers = {
  window: 1024 * 1024,
  creditStep: 64 * 1024,
  maxFramePayload: 16 * 1024,
  maxFrameSize: 1024 * 1024,
  replyBacklog: 64 * 1024,
  maxIncomingSessions: 4
}

export interface Side {
  readonly mux: SessionMux
  readonly end: FakeEnd
  creditLater: boolean
  changes: number
}

export const hello = (fill: number) => LinkHello.make({ version: 1, instanceId: new Uint8Array(16).fill(fill) })

const side = (end: FakeEnd, greater: boolean, some: Partial<SessionMuxNumbers>): Side => {
  const self: Side = {
    end,
    creditLater: false,
    changes: 0,
    mux: new SessionMux({
      hello: hello(greater ? 2 : 1),
      greater,
      numbers: { ...numbers, ...some },
      trySend: end.trySend,
      hold: end.hold,
      onChange: () => void self.changes++,
      onCreditLater: () => {
        self.creditLater = true
      }
    })
  }
  self.mux.pump()
  end.handle({
    onLossless: (packet) => self.mux.receive(packet),
    onLossy: () => undefined,
    onWritable: () => self.mux.pump(),
    onClosed: (error) => self.mux.fail({ _tag: "LinkLost", detail: error.reason.message })
  })
  return self
}

/** Both sides ours. */
export const muxPair = (options: Partial<SessionMuxNumbers> & { readonly sendBuffer?: number } = {}) => {
  const { sendBuffer, ...some } = options
  const ends = pair(sendBuffer === undefined ? {} : { sendBuffer })
  const a = side(ends.lesser, false, some)
  const b = side(ends.greater, true, some)
  /** Delivers and lets credit intervals pass until nothing moves any more. */
  const settle = (): void => {
    for (;;) {
      let moved = a.end.deliver() + b.end.deliver()
      for (const self of [a, b]) {
        if (!self.creditLater) continue
        self.creditLater = false
        self.mux.creditInterval()
        moved++
      }
      if (moved === 0) return
    }
  }
  return { a, b, settle }
}

/** Our side is the lesser; the greater is spoken by hand, after an exchange of hellos unless told otherwise. */
export const byHand = (options: Partial<SessionMuxNumbers> & { readonly greet?: boolean } = {}) => {
  const { greet, ...some } = options
  const ends = pair()
  const received: Array<SessionFrame> = []
  const packets: Array<Uint8Array> = []
  const reader = new SessionFrameReader()
  ends.greater.handle({
    onLossless: (packet) => {
      packets.push(packet)
      if (packet[0] === sessionStreamId) received.push(...reader.push(packet.subarray(1)).frames)
    },
    onLossy: () => undefined,
    onWritable: () => undefined,
    onClosed: () => undefined
  })
  const our = side(ends.lesser, false, some)
  if (greet !== false) our.mux.receive(LinkHello.encode(hello(2)))
  const sendBytes = (bytes: Uint8Array): void => {
    for (let at = 0; at < bytes.length; at += 1372) {
      our.mux.receive(Uint8Array.of(sessionStreamId, ...bytes.subarray(at, at + 1372)))
    }
  }
  return {
    our,
    received,
    packets,
    send: (...frames: ReadonlyArray<SessionFrame>) => {
      for (const frame of frames) sendBytes(SessionFrame.encode(frame))
    },
    sendBytes,
    /** The frames we have sent since the last call. */
    sent: (): ReadonlyArray<SessionFrame> => {
      ends.lesser.deliver()
      return received.splice(0)
    },
    deliver: () => ends.lesser.deliver()
  }
}
