/**
 * Two net_crypto connections that are joined in memory, for tests of what runs on top. Packets wait at the receiver while it holds;
 * `sendBuffer` packets may be waiting before `trySend` refuses. Everything is delivered in the call that sends it.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { PublicKey } from "../../src/schema/Bytes.ts"
import type { NetCryptoConnection, NetCryptoHandlers } from "../../src/services/NetCrypto.ts"
import { ClosedHere, NetCryptoError, PeerClosed } from "../../src/services/NetCryptoError.ts"

/** What a test may do to the packets on their way: drop (undefined), change, or pass them on. */
export type Meddle = (packet: Uint8Array) => Uint8Array | undefined

export interface FakeConnection extends NetCryptoConnection {
  /** Packets that wait for this side to take them. */
  readonly waiting: () => number
}

class Side {
  readonly key: PublicKey
  readonly ended = Deferred.makeUnsafe<NetCryptoError>()
  readonly queue: Array<Uint8Array> = []
  readonly waiters: Array<() => void> = []
  handlers: NetCryptoHandlers | undefined
  held = false
  delivering = false
  wasRefused = false
  /** Set by the sender: this side takes packets again. */
  onTaken: () => void = () => undefined

  constructor(fill: number) {
    this.key = PublicKey.make(new Uint8Array(32).fill(fill))
  }

  deliver(): void {
    if (this.delivering) return
    this.delivering = true
    while (!this.held && this.handlers !== undefined && this.queue.length > 0) {
      const packet = this.queue.shift()!
      if (packet[0]! < 192) this.handlers.onLossless(packet)
      else this.handlers.onLossy(packet)
    }
    this.delivering = false
  }
}

const connect = (mine: Side, theirs: Side, sendBuffer: number, meddle: Meddle): FakeConnection => {
  const isOver = () => Deferred.isDoneUnsafe(mine.ended)
  theirs.onTaken = () => {
    if (theirs.queue.length >= sendBuffer) return
    for (const waiter of mine.waiters.splice(0)) waiter()
    if (mine.wasRefused) {
      mine.wasRefused = false
      mine.handlers?.onWritable()
    }
  }
  const put = (packet: Uint8Array): boolean => {
    if (isOver()) return false
    if (theirs.queue.length >= sendBuffer) {
      mine.wasRefused = true
      return false
    }
    const passed = meddle(packet)
    if (passed !== undefined) theirs.queue.push(passed)
    theirs.deliver()
    return true
  }
  const room = Effect.callback<void>((resume) => {
    mine.waiters.push(() => resume(Effect.void))
  })
  const fail = Effect.flatMap(Deferred.await(mine.ended), Effect.fail)
  return {
    identityKey: theirs.key,
    dhtKey: theirs.key,
    trySend: put,
    sendAll: (packets) =>
      Effect.raceFirst(
        Effect.forEach(packets, (packet) =>
          Effect.whileLoop({ while: () => !put(packet), body: () => room, step: () => undefined }), { discard: true }),
        fail
      ),
    sendLossy: put,
    drained: Effect.raceFirst(
      Effect.whileLoop({
        while: () => theirs.queue.length > 0,
        body: () => Effect.sleep("1 millis"),
        step: () => undefined
      }),
      fail
    ),
    handle: (handlers) => {
      mine.handlers = handlers
      mine.deliver()
    },
    hold: (held) => {
      mine.held = held
      if (held) return
      mine.deliver()
      mine.onTaken()
    },
    closed: Deferred.await(mine.ended),
    close: Effect.sync(() => {
      const end = (side: Side, reason: PeerClosed | ClosedHere) => {
        const error = new NetCryptoError({ peer: "00".repeat(32), reason })
        Deferred.doneUnsafe(side.ended, Effect.succeed(error))
        side.handlers?.onClosed(error)
      }
      end(mine, new ClosedHere())
      end(theirs, new PeerClosed())
    }),
    stats: () => ({
      sentPackets: 0,
      resentPackets: 0,
      receivedPackets: 0,
      inFlightPackets: 0,
      queuedPackets: theirs.queue.length,
      roundTrip: undefined,
      dropped: {}
    }),
    paths: () => [],
    probe: Effect.suspend(() => isOver() ? fail : Effect.succeed([])),
    park: () => false,
    wake: () => undefined,
    parked: () => "awake",
    nextPacketNumber: () => 0,
    waiting: () => mine.queue.length
  }
}

/** A connected pair. `sendBuffer` counts packets; `meddle` sees what the first side sends. */
export const pair = (
  options: { readonly sendBuffer?: number; readonly meddle?: Meddle } = {}
): readonly [FakeConnection, FakeConnection] => {
  const [left, right] = [new Side(1), new Side(2)]
  const sendBuffer = options.sendBuffer ?? 1_000_000
  return [
    connect(left, right, sendBuffer, options.meddle ?? ((packet) => packet)),
    connect(right, left, sendBuffer, (packet) => packet)
  ]
}
