/**
 * A flow of packets that can be judged at its end: each carries its number and bytes that follow from it. It records what is wrong
 * and how long nothing came; it asserts nothing.
 */
import * as Effect from "effect/Effect"
import type { NetCryptoConnection, NetCryptoHandlers } from "../../src/services/NetCrypto.ts"

const packetId = 160
const fillerOf = (number: number, at: number): number => (number * 31 + at * 7) & 0xff

const encode = (number: number, size: number): Uint8Array => {
  const packet = new Uint8Array(size)
  new DataView(packet.buffer).setUint32(1, number)
  packet[0] = packetId
  for (let at = 5; at < size; at++) packet[at] = fillerOf(number, at)
  return packet
}

const isIntact = (packet: Uint8Array, number: number): boolean => {
  for (let at = 5; at < packet.length; at++) if (packet[at] !== fillerOf(number, at)) return false
  return packet[0] === packetId
}

/** What the receiver has seen. Times are monotonic milliseconds. */
export interface Received {
  readonly packets: number
  readonly bytes: number
  /** Packets that were lost, doubled, out of order or damaged: what they were and what was expected. At most ten. */
  readonly wrong: ReadonlyArray<string>
  readonly closed: string | undefined
}

export interface VerifiedFlow {
  readonly received: () => Received
  /** Packets accepted for sending so far. */
  readonly sent: () => number
  /** Begins a new longest gap. */
  readonly mark: () => void
  /** The longest time without a packet since the last `mark`, the time since the last packet included. */
  readonly longestGap: () => number
  /** When the first packet since the last `mark` came; undefined: none has. */
  readonly firstAfterMark: () => number | undefined
  /** Stops sending and waits until everything sent has arrived. */
  readonly finish: Effect.Effect<void>
}

/** What to send. `interval` is in milliseconds; without it packets go as fast as they are taken. */
export interface FlowOptions {
  readonly from: NetCryptoConnection
  readonly to: NetCryptoConnection
  readonly now: () => number
  readonly size?: number
  readonly burst?: number
  readonly interval?: number
  /** Lossy packets that arrive at the receiver. */
  readonly onLossy?: (payload: Uint8Array) => void
  /** Lossless packets that come back. */
  readonly onReturn?: (payload: Uint8Array) => void
}

/** Bursts that could not be sent in time are made up for, up to this many. */
const longestBacklog = 50

/** Starts sending. The flow takes over the handlers of both connections; it ends with the scope. */
export const start = Effect.fnUntraced(function*(options: FlowOptions) {
  const { burst = 4, from, interval, now, onLossy, onReturn, size = 1_000, to } = options
  let sent = 0
  let expected = 0
  let bytes = 0
  let closed: string | undefined
  let lastAt = now()
  let longest = 0
  let first: number | undefined
  let stopped = false
  const wrong: Array<string> = []

  const onLossless = (payload: Uint8Array): void => {
    const time = now()
    longest = Math.max(longest, time - lastAt)
    lastAt = time
    first ??= time
    bytes += payload.length
    const number = new DataView(payload.buffer, payload.byteOffset).getUint32(1)
    if (number !== expected || !isIntact(payload, number)) {
      if (wrong.length < 10) wrong.push(`${number} instead of ${expected}, ${payload.length} bytes`)
      expected = number
    }
    expected++
  }
  const send = (count: number): void => {
    for (let i = 0; i < count && !stopped; i++) {
      if (!from.trySend(encode(sent, size))) return
      sent++
    }
  }
  const pour = (): void => send(Infinity)
  const handlers = (side: string): NetCryptoHandlers => ({
    onLossless: () => undefined,
    onLossy: () => undefined,
    onWritable: () => undefined,
    onClosed: (error) => {
      closed ??= `${side}: ${error.message}`
    }
  })
  to.handle({ ...handlers("receiver"), onLossless, onLossy: (payload) => onLossy?.(payload) })
  from.handle({
    ...handlers("sender"),
    onLossless: (payload) => onReturn?.(payload),
    onWritable: interval === undefined ? pour : () => undefined
  })
  if (interval === undefined) pour()
  else {
    let owed = 0
    let last = now()
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(
      Effect.sleep(interval),
      Effect.sync(() => {
        const time = now()
        owed = Math.min(longestBacklog * burst, owed + (time - last) / interval * burst)
        last = time
        const before = sent
        send(Math.floor(owed))
        owed -= sent - before
      })
    )))
  }
  return {
    received: () => ({ packets: expected, bytes, wrong, closed }),
    sent: () => sent,
    mark: () => {
      lastAt = now()
      longest = 0
      first = undefined
    },
    longestGap: () => Math.max(longest, now() - lastAt),
    firstAfterMark: () => first,
    finish: Effect.suspend(() => {
      stopped = true
      return Effect.sync(() => expected >= sent || closed !== undefined).pipe(
        Effect.delay("5 millis"),
        Effect.repeat({ until: (done) => done }),
        Effect.timeout("40 seconds"),
        Effect.asVoid,
        Effect.orDie
      )
    })
  } satisfies VerifiedFlow
})
