/**
 * One `node:net` socket as a `TransportConnection`. Chunks are collected by plain callbacks; a waiting fiber is resumed once a
 * batch. It never dials or accepts, and it never copies a chunk: Node allocates each one for itself.
 */
import * as Effect from "effect/Effect"
import type * as Net from "node:net"
import { type TransportConnection, TransportError } from "../services/RelayTransport.ts"
import { endGracefully } from "./nodeEnding.ts"
import * as nodeTransportError from "./nodeTransportError.ts"

/**
 * Bytes collected before the socket is paused. Node then fills its own buffer (64 KiB and at most one chunk of 64 KiB more), so that
 * a connection nobody reads holds at most 256 KiB.
 */
const maxCollected = 64 * 1024

export const ended = new TransportError({ kind: "Ended", detail: "FIN" })
export const closedHere = new TransportError({ kind: "Reset", detail: "closed" })

export interface NodeConnection {
  readonly connection: TransportConnection
  /** Ends gracefully within 2 s, then destroys. Returns at once when no bytes are queued or the far side is gone. */
  readonly close: Effect.Effect<void>
}

const mappedIPv4 = "::ffff:"

/** The address of the far side; a listener on `::` reports IPv4 peers in mapped form. Undefined when the peer has gone already. */
export const remoteAddress = (socket: Net.Socket): string | undefined => {
  const address = socket.remoteAddress
  return address?.startsWith(mappedIPv4) === true && address.includes(".") ? address.slice(mappedIPv4.length) : address
}

/** Destroys a socket that nobody reads any more, with RST, so that neither side keeps anything of it. */
export const destroy = (socket: Net.Socket): void => {
  socket.on("error", () => {})
  if (!socket.destroyed) socket.resetAndDestroy()
}

/** Takes over an open socket: from here on its events end up in `pull`, and `close` must be run. */
export const make = (socket: Net.Socket, address: string): NodeConnection => {
  let chunks: Array<Uint8Array> = []
  let collected = 0
  let ending: TransportError | undefined
  let waiter: ((effect: Effect.Effect<ReadonlyArray<Uint8Array>, TransportError>) => void) | undefined
  let blocked = false
  let drained: (() => void) | undefined

  const wake = () => {
    if (waiter === undefined) return
    const resume = waiter
    waiter = undefined
    // The fiber takes the bytes itself: an interrupted one leaves them for the next pull.
    resume(pull)
  }
  const collect = (chunk: Uint8Array) => {
    chunks.push(chunk)
    collected += chunk.length
  }
  const end = (error: TransportError) => {
    ending ??= error
    wake()
  }
  const onData = (chunk: Uint8Array) => {
    collect(chunk)
    wake()
    if (collected >= maxCollected) socket.pause()
  }
  const onEnd = () => end(ended)

  socket.on("data", onData)
  socket.on("end", onEnd)
  socket.on("error", (cause) => {
    // A reset while paused: bytes that Node had read before it are still ours to deliver.
    for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) collect(chunk)
    end(nodeTransportError.whileOpen(cause))
  })
  const onDrain = () => {
    if (!blocked) return
    blocked = false
    drained?.()
  }
  socket.on("drain", onDrain)
  socket.on("close", () => {
    end(closedHere)
    // Node drops the queue of a dead socket without a word; a writer that waits must not wait for ever.
    onDrain()
  })

  const wait = Effect.callback<ReadonlyArray<Uint8Array>, TransportError>((resume) => {
    waiter = resume
    return Effect.sync(() => {
      if (waiter === resume) waiter = undefined
    })
  })

  const pull = Effect.suspend(() => {
    if (collected > 0) {
      const taken = chunks
      chunks = []
      collected = 0
      if (socket.isPaused()) socket.resume()
      return Effect.succeed(taken)
    }
    return ending === undefined ? wait : Effect.fail(ending)
  })

  const close = Effect.suspend(() => {
    socket.off("data", onData)
    chunks = []
    collected = 0
    drained = undefined
    end(closedHere)
    return endGracefully(socket, () => socket.resetAndDestroy())
  })

  return {
    connection: {
      remoteAddress: address,
      pull,
      write: (bytes) => {
        if (!socket.writable || socket.write(bytes)) return true
        blocked = true
        return false
      },
      pendingBytes: () => socket.writableLength,
      onDrain: (callback) => {
        drained = callback
      }
    },
    close
  }
}
