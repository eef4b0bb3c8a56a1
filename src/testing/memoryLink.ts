/**
 * One connection in the network inside the process: two streams and the two ends that own them. It ends as TCP does when neither
 * side keeps half of a connection open.
 */
import * as Effect from "effect/Effect"
import { type TransportConnection, type TransportError } from "../services/RelayTransport.ts"
import { ended, MemoryStream, type MemoryWay } from "./memoryStream.ts"
import type { MemoryTimeline } from "./memoryTimeline.ts"

/** As the contract of `TransportConnection` promises. */
const closeTimeout = "2 seconds"

export interface MemoryEnd {
  readonly connection: TransportConnection
  readonly close: Effect.Effect<void>
}

/** What the contract of `TransportConnection` has no word for; direct streams need it. */
const aborts = new WeakMap<TransportConnection, () => void>()

/** Ends an end at once: what is queued is lost, and the far side learns of a reset as fast as the way allows. Idempotent. */
export const abort = (connection: TransportConnection): void => aborts.get(connection)?.()

export interface MemoryLink {
  readonly client: MemoryEnd
  readonly server: MemoryEnd
  readonly bytesUnderway: () => { readonly toServer: number; readonly toClient: number }
  readonly reset: () => void
  readonly resume: () => void
}

/** `onGone` is called once, when both ends have closed or the connection was reset. */
export const make = (options: {
  readonly timeline: MemoryTimeline
  readonly toServer: MemoryWay
  readonly toClient: MemoryWay
  readonly socketBuffer: number
  readonly clientAddress: string
  readonly serverAddress: string
  readonly onGone: () => void
}): MemoryLink => {
  const toServer = new MemoryStream(options.timeline, options.toServer, options.socketBuffer)
  const toClient = new MemoryStream(options.timeline, options.toClient, options.socketBuffer)
  let endsLeft = 2
  let gone = false
  const leave = () => {
    if (gone) return
    gone = true
    options.onGone()
  }

  const makeEnd = (incoming: MemoryStream, outgoing: MemoryStream, remoteAddress: string): MemoryEnd => {
    let closed = false
    incoming.onEnding = (error: TransportError) => {
      if (error === ended) return outgoing.finish()
      outgoing.sever()
      leave()
    }
    const settle = Effect.sync(() => {
      if (!outgoing.isFlushed) {
        outgoing.abort()
        incoming.sever()
      }
      if (--endsLeft === 0) leave()
    })
    const connection: TransportConnection = {
      remoteAddress,
      pull: incoming.pull,
      write: (bytes) => outgoing.write(bytes),
      pendingBytes: () => outgoing.heldBytes,
      onDrain: (callback) => outgoing.onDrain(callback)
    }
    aborts.set(connection, () => {
      if (!outgoing.isFlushed) {
        outgoing.abort()
        incoming.sever()
      }
      if (closed) return
      closed = true
      incoming.discard()
      outgoing.forgetWriter()
      if (--endsLeft === 0) leave()
    })
    return {
      connection,
      close: Effect.suspend(() => {
        if (closed) return Effect.void
        closed = true
        incoming.discard()
        outgoing.forgetWriter()
        outgoing.finish()
        if (outgoing.isFlushed) return settle
        return Effect.interruptible(outgoing.flushed).pipe(Effect.timeoutOption(closeTimeout), Effect.andThen(settle))
      })
    }
  }

  return {
    client: makeEnd(toClient, toServer, options.serverAddress),
    server: makeEnd(toServer, toClient, options.clientAddress),
    bytesUnderway: () => ({ toServer: toServer.bytesUnderway, toClient: toClient.bytesUnderway }),
    reset: () => {
      toServer.sever()
      toClient.sever()
      leave()
    },
    resume: () => {
      toServer.resume()
      toClient.resume()
    }
  }
}
