/**
 * One TLS connection as a `DirectStream`: plain callbacks both ways, no Effect for a chunk. It takes over a socket from the moment that
 * it exists, before it is secured; it never dials, accepts or negotiates.
 */
import * as Effect from "effect/Effect"
import type * as Tls from "node:tls"
import type { DirectStream } from "../services/DirectTransport.ts"
import { DirectInbox } from "./DirectInbox.ts"
import { closedHere, ended } from "./nodeConnection.ts"
import { endGracefully } from "./nodeEnding.ts"
import * as nodeTransportError from "./nodeTransportError.ts"

/**
 * Bytes that are queued, in either direction, before Node says stop: large enough for a full pipe, small enough for many streams. With
 * what the inbox keeps and the chunks under way, a stream that is held has read less than 512 KiB.
 */
export const highWaterMark = 256 * 1024

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
  const onData = (chunk: Uint8Array) => inbox.push(chunk)

  // Lost between the handshake and here.
  if (socket.closed) inbox.end(closedHere)
  socket.on("data", onData)
  // A FIN without TLS' own goodbye looks the same, and with Node 22 a reset: none of them is taken for a peer's last word.
  socket.on("end", () => inbox.end(ended))
  socket.on("error", (cause) => {
    // A reset while paused: bytes that Node had read before it are still ours to deliver.
    for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) inbox.push(chunk)
    inbox.end(nodeTransportError.whileOpen(cause))
  })
  socket.on("close", () => inbox.end(closedHere))
  socket.on("drain", () => inbox.writable())

  const leave = () => {
    socket.off("data", onData)
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
        // Corked, the pieces go to TLS in one call, which makes one series of full records of them and one write to the system.
        socket.cork()
        for (const piece of pieces) if (piece.length > 0) socket.write(piece)
        socket.uncork()
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
