/**
 * One TLS connection as a `DirectStream`: plain callbacks both ways, no Effect for a chunk. It takes over a socket from the moment that
 * it exists, before it is secured; it never dials, accepts or negotiates.
 */
import * as Effect from "effect/Effect"
import type * as Tls from "node:tls"
import type { DirectStream } from "../services/DirectTransport.ts"
import type { TransportError } from "../services/RelayTransport.ts"
import { DirectInbox } from "./DirectInbox.ts"
import { closedHere, ended } from "./nodeConnection.ts"
import { endGracefully } from "./nodeEnding.ts"
import * as nodeTransportError from "./nodeTransportError.ts"

/**
 * Bytes that are queued, in either direction, before Node says stop: large enough for a full pipe, small enough for many streams. With
 * what the inbox keeps and the chunks under way, a stream that is held has read less than 768 KiB.
 */
export const highWaterMark = 256 * 1024

/** A chunk of this size is no request that somebody waits for, and more of its kind follow. */
const largeChunk = 4 * 1024
/** What is delivered together at most. */
const maxBulk = 256 * 1024

export interface NodeDirectStream {
  readonly stream: DirectStream
  /** Ends gracefully within 2 s, then destroys. */
  readonly close: Effect.Effect<void>
}

/** Begins to read, and keeps what comes for the receiver. The socket must be secured. */
export const make = (
  socket: Tls.TLSSocket,
  found: Pick<DirectStream, "remote" | "keyExchange" | "pskIdentity">
): NodeDirectStream => {
  const inbox = new DirectInbox({
    stop: () => socket.pause(),
    start: () => socket.resume(),
    flushSoon: () => process.nextTick(flush)
  })
  const flush = () => inbox.flush()
  /** Large chunks of one turn of the event loop, which are delivered together: whoever reads is woken once for all of them. */
  let bulk: Array<Uint8Array> = []
  let bulkBytes = 0
  const deliver = () => {
    const chunks = bulk
    bulk = []
    bulkBytes = 0
    for (const chunk of chunks) inbox.push(chunk)
  }
  const onData = (chunk: Uint8Array) => {
    if (bulk.length === 0) {
      if (chunk.length < largeChunk) return inbox.push(chunk)
      setImmediate(deliver)
    }
    bulk.push(chunk)
    bulkBytes += chunk.length
    if (bulkBytes >= maxBulk) deliver()
  }
  const end = (error: TransportError) => {
    deliver()
    inbox.end(error)
  }

  // Lost between the handshake and here.
  if (socket.closed) end(closedHere)
  socket.on("data", onData)
  // A FIN without TLS' own goodbye looks the same, and with Node 22 a reset: none of them is taken for a peer's last word.
  socket.on("end", () => end(ended))
  socket.on("error", (cause) => {
    // A reset while paused: bytes that Node had read before it are still ours to deliver.
    for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) onData(chunk)
    end(nodeTransportError.whileOpen(cause))
  })
  socket.on("close", () => end(closedHere))
  socket.on("drain", () => inbox.writable())

  /**
   * Corked, what is written goes to TLS in one call, which makes one series of full records of it and one write to the system: all pieces of
   * a batch, and all batches of one turn.
   */
  const cork = () => {
    if (socket.writableCorked > 0) return
    socket.cork()
    process.nextTick(uncork)
  }
  const uncork = () => {
    if (socket.writableCorked > 0) socket.uncork()
  }

  const leave = () => {
    uncork()
    socket.off("data", onData)
    bulk = []
    inbox.abandon(closedHere)
  }
  // Never a reset of the socket below: Node frees TLS under the feet of reads and writes that are still to come, and crashes.
  const destroy = () => void socket.destroy()

  return {
    stream: {
      ...found,
      handle: (handlers) => inbox.handle(handlers),
      write: (pieces) => {
        if (!socket.writable) return true
        cork()
        for (const piece of pieces) if (piece.length > 0) socket.write(piece)
        return !socket.writableNeedDrain
      },
      hold: (held) => inbox.hold(held),
      destroy: () => {
        if (socket.destroyed) return
        leave()
        destroy()
      }
    },
    close: Effect.suspend(() => {
      leave()
      return endGracefully(socket, destroy)
    })
  }
}
