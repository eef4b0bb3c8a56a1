/** What both kinds of processes of the direct rows are asked for. */
import { Socket } from "node:net"

/** Round trips one after the other. */
export interface DirectEchoes {
  /** Bytes of a request, and of its answer. */
  readonly size: number
  /** In how many writes the request goes, each in a turn of its own of the event loop. */
  readonly writes: number
  readonly warm: number
  readonly count: number
}

/** Node's own list of open handles, which its types leave out. */
interface WithHandles {
  readonly _getActiveHandles: () => ReadonlyArray<unknown>
}

/** Turns TCP_NODELAY off on every socket of this process: what it would be like without. How many that were. */
export const letNagle = (): number => {
  const sockets = (process as unknown as WithHandles)._getActiveHandles().filter((handle) => handle instanceof Socket)
  for (const socket of sockets) {
    // Node remembers what it was told last, and does nothing when it is told the same; a wrapped socket was told elsewhere.
    socket.setNoDelay(true)
    socket.setNoDelay(false)
  }
  return sockets.length
}
