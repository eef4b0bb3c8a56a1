/** Direct streams over the fake connections of `FakeNetCrypto`: bytes in pieces of any size, of which only what fits is taken at once. */
import { maxPayload } from "../../src/schema/NetCryptoPacket.ts"
import { joined } from "../../src/schema/Payload.ts"
import type { DirectLink } from "../../src/services/DirectLinks.ts"
import type { DirectStream, DirectStreamHandlers } from "../../src/services/DirectTransport.ts"
import { ClosedHere } from "../../src/services/NetCryptoError.ts"
import { TransportError } from "../../src/services/RelayTransport.ts"
import { type FakeEnd, lesserKey } from "./FakeNetCrypto.ts"

const firstByte = 160

/** One end of a direct stream. The peer of a stream that was destroyed notices nothing until the test says so. */
export const directStream = (end: FakeEnd): DirectStream => {
  const waiting: Array<Uint8Array> = []
  let isBlocked = false
  let handlers: DirectStreamHandlers | undefined
  const drain = (): boolean => {
    for (;;) {
      const next = waiting[0]
      if (next === undefined) return true
      if (!end.trySend(next)) return false
      waiting.shift()
    }
  }
  return {
    remote: { host: "192.0.2.1", port: 1 },
    keyExchange: "none",
    pskIdentity: "none",
    handle: (given) => {
      handlers = given
      end.handle({
        onLossless: (packet) => handlers?.onBytes(packet.subarray(1)),
        onLossy: () => undefined,
        onWritable: () => {
          if (!drain() || !isBlocked) return
          isBlocked = false
          handlers?.onWritable()
        },
        onClosed: ({ message }) => handlers?.onClosed(new TransportError({ kind: "Reset", detail: message }))
      })
    },
    write: (pieces) => {
      const bytes = joined(pieces)
      for (let at = 0; at < bytes.length; at += maxPayload - 1) {
        waiting.push(Uint8Array.of(firstByte, ...bytes.subarray(at, at + maxPayload - 1)))
      }
      isBlocked = !drain()
      return !isBlocked
    },
    hold: end.hold,
    destroy: () => end.end(new ClosedHere())
  }
}

/** A direct link of these connections. */
export const directLink = (ends: ReadonlyArray<FakeEnd>): DirectLink => ({
  identityKey: ends[0]?.identityKey ?? lesserKey,
  streams: ends.map(directStream),
  roles: ends.map(() => "dialled")
})
