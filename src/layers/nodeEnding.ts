/** How the sockets of all transports over Node end: gracefully for a bounded time, then for good (reliability F6). */
import * as Effect from "effect/Effect"
import type * as Net from "node:net"

/** How long a closing stream may take to hand its bytes to the operating system. */
const closeTimeout = "2 seconds"

const settled = (socket: Net.Socket, events: ReadonlyArray<"finish" | "close">) =>
  Effect.callback<void>((resume) => {
    const done = () => resume(Effect.void)
    for (const event of events) socket.once(event, done)
    return Effect.sync(() => {
      for (const event of events) socket.off(event, done)
    })
  })

/**
 * Ends the socket within 2 s, then destroys it. Returns at once when no bytes are queued or the far side is gone. Nobody may be reading
 * it any more; `abandon` destroys it with bytes still queued.
 */
export const endGracefully = (socket: Net.Socket, abandon: () => void): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (socket.destroyed) return Effect.void
    // What the far side still sends is read and dropped: unread bytes would turn our FIN into a reset that discards our last bytes.
    socket.resume()
    const owing = socket.writableLength > 0
    socket.end()
    // With bytes owed, the far side's FIN shows that it took them. Otherwise nobody waits for it.
    const flushed = settled(socket, owing ? ["close"] : ["finish", "close"])
    return Effect.interruptible(flushed).pipe(
      Effect.timeoutOption(closeTimeout),
      Effect.andThen(Effect.sync(() => {
        if (socket.destroyed) return
        // Once the system has all bytes the FIN is on its way, and a socket that is being shut down cannot be reset: Node loses it.
        if (socket.writableLength === 0) socket.destroy()
        else abandon()
      }))
    )
  })
