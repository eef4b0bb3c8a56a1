/**
 * What the benchmark's nodes do with a net_crypto connection. The packets are made beforehand and sent over and over, because the
 * rows measure the library and not how fast a test can fill arrays: packet `i` carries `i mod 1024`, by which loss, doubling and
 * reordering are seen.
 */
import type { NetCryptoConnection, NetCryptoHandlers } from "../../src/services/NetCrypto.ts"
import { nowMs } from "./childSide.ts"

const packetId = 160
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

/** What a sink has seen. `longestGap` is in milliseconds, since it was last asked for. */
export interface Seen {
  readonly packets: number
  readonly bytes: number
  /** Packets that did not follow the one before them. */
  readonly displaced: number
  readonly longestGap: number
}

/** Counts a flood; the function returned tells what was seen, and begins a new longest gap. */
export const sink = (connection: NetCryptoConnection): () => Seen => {
  let packets = 0
  let bytes = 0
  let displaced = 0
  let expected = 0
  let last = nowMs()
  let longestGap = 0
  connection.handle({
    ...nothing,
    onLossless: (payload) => {
      const now = nowMs()
      if (now - last > longestGap) longestGap = now - last
      last = now
      packets++
      bytes += payload.length
      const number = numberOf(payload)
      if (number !== expected) displaced++
      expected = (number + 1) % cycle
    }
  })
  return () => {
    const now = nowMs()
    const seen = { packets, bytes, displaced, longestGap: Math.max(longestGap, now - last) }
    longestGap = 0
    last = now
    return seen
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
