/**
 * What the benchmark's nodes do with a net_crypto connection. The packets are made beforehand and sent over and over, because the
 * rows measure the library and not how fast a test can fill arrays: packet `i` carries `i mod 1024`, by which loss, doubling and
 * reordering are seen.
 */
import type { NetCryptoConnection, NetCryptoHandlers } from "../../src/services/NetCrypto.ts"
import { nowMs } from "./childSide.ts"

const packetId = 160
/** Bytes of a program behind the id. */
const maxPayload = 1_372
const cycle = 1024

const packet = (number: number, size: number): Uint8Array => {
  const bytes = new Uint8Array(size).fill(7)
  bytes[0] = packetId
  bytes[1] = number >> 8
  bytes[2] = number & 0xff
  return bytes
}

const numberOf = (bytes: Uint8Array): number => bytes[1]! << 8 | bytes[2]!

const nothing: NetCryptoHandlers = {
  onLossless: () => undefined,
  onLossy: () => undefined,
  onWritable: () => undefined,
  onClosed: () => undefined
}

/** Sends packets of `size` bytes as fast as they are taken, for ever. */
export const flood = (connection: NetCryptoConnection, size: number): void => {
  const packets = Array.from({ length: cycle }, (_, number) => packet(number, size))
  let next = 0
  const send = () => {
    while (connection.trySend(packets[next]!)) next = (next + 1) % cycle
  }
  connection.handle({ ...nothing, onWritable: send })
  send()
}

/**
 * Sends messages of `size` bytes as fast as they are taken, for ever, as a program on net_crypto has to: it cuts each one into packets, of which
 * it makes every one anew, because net_crypto keeps a packet until it is acknowledged.
 */
export const floodMessages = (connection: NetCryptoConnection, size: number): void => {
  const message = new Uint8Array(size).fill(7)
  let next = 0
  let at = 0
  let waiting: Uint8Array | undefined
  const cut = (): Uint8Array => {
    const end = Math.min(at + maxPayload, size)
    const bytes = new Uint8Array(1 + end - at)
    bytes.set(message.subarray(at, end), 1)
    bytes[0] = packetId
    bytes[1] = next >> 8
    bytes[2] = next & 0xff
    next = (next + 1) % cycle
    at = end === size ? 0 : end
    return bytes
  }
  const send = () => {
    for (;;) {
      waiting ??= cut()
      if (!connection.trySend(waiting)) return
      waiting = undefined
    }
  }
  connection.handle({ ...nothing, onWritable: send })
  send()
}

/** Sends `perSecond` packets a second, for ever. What could not be sent in time is made up for. */
export const paced = (
  connection: NetCryptoConnection,
  input: { readonly size: number; readonly perSecond: number }
): void => {
  const packets = Array.from({ length: cycle }, (_, number) => packet(number, input.size))
  const started = nowMs()
  let sent = 0
  const send = () => {
    const due = (nowMs() - started) * input.perSecond / 1_000
    while (sent < due && connection.trySend(packets[sent % cycle]!)) sent++
  }
  const timer = setInterval(send, 1)
  connection.handle({ ...nothing, onWritable: send, onClosed: () => clearInterval(timer) })
}

/** What a sink has seen. `longestGap` is in milliseconds, since it was last asked for. */
export interface Seen {
  readonly packets: number
  readonly bytes: number
  /** Packets that did not follow the one before them. */
  readonly displaced: number
  readonly longestGap: number
}

/** A time without a packet: when it began, by `nowMs`, and how long it was, milliseconds. */
export interface Gap {
  readonly at: number
  readonly length: number
}

/** Shorter gaps are not kept one by one, and no more than so many. */
const leastGap = 2
const mostGaps = 10_000

export interface Sink {
  /** What was seen; begins a new longest gap. */
  readonly seen: () => Seen
  /** The gaps since the last call, the one that goes on now included. */
  readonly gaps: () => ReadonlyArray<Gap>
}

/** Counts a flood. */
export const sink = (connection: NetCryptoConnection): Sink => {
  let packets = 0
  let bytes = 0
  let displaced = 0
  let expected = 0
  let last = nowMs()
  let longestGap = 0
  let gaps: Array<Gap> = []
  connection.handle({
    ...nothing,
    onLossless: (payload) => {
      const now = nowMs()
      if (now - last > longestGap) longestGap = now - last
      if (now - last >= leastGap && gaps.length < mostGaps) gaps.push({ at: last, length: now - last })
      last = now
      packets++
      bytes += payload.length
      const number = numberOf(payload)
      if (number !== expected) displaced++
      expected = (number + 1) % cycle
    }
  })
  return {
    seen: () => {
      const now = nowMs()
      const seen = { packets, bytes, displaced, longestGap: Math.max(longestGap, now - last) }
      longestGap = 0
      last = now
      return seen
    },
    gaps: () => {
      const taken = [...gaps, { at: last, length: nowMs() - last }]
      gaps = []
      return taken
    }
  }
}

/** Sends everything back. Only for pings: an echo that is not taken is lost. */
export const echo = (connection: NetCryptoConnection): void =>
  connection.handle({ ...nothing, onLossless: (payload) => void connection.trySend(payload) })

/** `count` round trips of `size` bytes in milliseconds, one after the other, after `warm` that are not counted. */
export const ping = (
  connection: NetCryptoConnection,
  input: { readonly size: number; readonly warm: number; readonly count: number }
): Promise<ReadonlyArray<number>> =>
  new Promise((resolve, reject) => {
    const packets = Array.from({ length: cycle }, (_, number) => packet(number, input.size))
    const roundTrips: Array<number> = []
    let round = 0
    let sent = 0
    const send = () => {
      sent = nowMs()
      if (!connection.trySend(packets[round % cycle]!)) reject(new Error("a ping was not taken"))
    }
    connection.handle({
      ...nothing,
      onLossless: (payload) => {
        if (numberOf(payload) !== round % cycle) return reject(new Error("another ping was echoed"))
        if (round++ >= input.warm) roundTrips.push(nowMs() - sent)
        if (roundTrips.length < input.count) send()
        else resolve(roundTrips)
      },
      onClosed: reject
    })
    send()
  })
