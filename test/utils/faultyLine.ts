/**
 * One direction of one proxied TCP connection: takes the bytes of a socket and hands them to another one, late, slowly, in pieces,
 * damaged or not at all, as it is told. Without faults no byte is lost, changed or reordered. It never opens or closes a connection
 * but by passing on what ended the other side.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Net from "node:net"

/** What happens to one direction. Times are milliseconds. */
export interface LineFaults {
  /** How long each byte is under way, and how much longer at most, by chance. Order is kept. */
  readonly delay: number
  readonly jitter: number
  /** Bytes per second; undefined: as fast as possible. */
  readonly rate: number | undefined
  /** While true nothing is read and nothing delivered: the sender fills the kernel's buffers and blocks. Nothing is lost. */
  readonly frozen: boolean
  /** While true everything is read and lost, the end of the stream as well. */
  readonly blackHole: boolean
  /** Writes of 1 to so many bytes, by chance, each in a turn of its own; undefined: as they come. */
  readonly split: number | undefined
}

export const noFaults: LineFaults = {
  delay: 0,
  jitter: 0,
  rate: undefined,
  frozen: false,
  blackHole: false,
  split: undefined
}

export interface FaultyLine {
  /** Moves bytes until an end has been passed on. */
  readonly run: Effect.Effect<void>
  readonly set: (change: Partial<LineFaults>) => void
  /** Half-closes behind what has been taken so far; what the sender sends afterwards is lost. */
  readonly fin: () => void
  /** Flips one bit of the next bytes that are delivered. */
  readonly corrupt: () => void
  /** Bytes handed to the destination so far. */
  readonly delivered: () => number
}

/** Bytes held without being asked to delay them, and at most: as much as a kernel would keep. */
const leastHeld = 64 * 1024
const mostHeld = 4 * 1024 * 1024
/** A limited line delivers this often, milliseconds, so that its rate is even. */
const rateInterval = 20

interface Piece {
  bytes: Uint8Array
  /** When it may be delivered, milliseconds. */
  readonly due: number
}

export const make = (options: {
  readonly source: Net.Socket
  readonly destination: Net.Socket
  readonly faults: LineFaults
  /** A number in [0, 1). */
  readonly fraction: () => number
  /** Milliseconds, by which delays and the rate are measured. */
  readonly now: () => number
}): FaultyLine => {
  const { destination, fraction, now, source } = options
  const changed = Latch.makeUnsafe(false)
  const pieces: Array<Piece> = []
  let faults = options.faults
  let held = 0
  let lastDue = 0
  let ending: "FIN" | "reset" | undefined
  let corrupts = 0
  let delivered = 0
  let nextAt = 0

  const review = (): void => {
    const { delay, frozen, rate } = faults
    const underWay = delay === 0 ? 0 : rate === undefined ? mostHeld : Math.min(mostHeld, rate * delay / 1_000)
    if (frozen || held > leastHeld + underWay) source.pause()
    else source.resume()
    changed.openUnsafe()
  }
  const end = (how: "FIN" | "reset"): void => {
    // A reset may follow a FIN that has not been passed on.
    if (ending !== "reset") ending = how
    changed.openUnsafe()
  }
  source.on("data", (bytes: Uint8Array) => {
    if (ending !== undefined) return
    lastDue = Math.max(lastDue, now() + faults.delay + faults.jitter * fraction())
    pieces.push({ bytes, due: lastDue })
    held += bytes.length
    review()
  })
  source.on("end", () => end("FIN"))
  source.on("error", () => end("reset"))
  source.on("close", () => end(source.readableEnded ? "FIN" : "reset"))
  review()

  /** Takes as much of the oldest piece as may be delivered at once. */
  const take = (piece: Piece): Uint8Array => {
    let size = piece.bytes.length
    if (faults.rate !== undefined) size = Math.min(size, Math.max(1, Math.ceil(faults.rate * rateInterval / 1_000)))
    if (faults.split !== undefined) size = Math.min(size, 1 + Math.floor(fraction() * faults.split))
    const taken = piece.bytes.subarray(0, size)
    piece.bytes = piece.bytes.subarray(size)
    if (piece.bytes.length === 0) pieces.shift()
    held -= size
    return taken
  }
  const damaged = (bytes: Uint8Array): Uint8Array => {
    corrupts--
    const copy = bytes.slice()
    copy[Math.floor(fraction() * copy.length)]! ^= 1 << Math.floor(fraction() * 8)
    return copy
  }
  const drained = Effect.callback<void>((resume) => {
    const done = () => resume(Effect.void)
    destination.once("drain", done).once("close", done)
    return Effect.sync(() => destination.off("drain", done).off("close", done))
  })
  const deliver = (bytes: Uint8Array): Effect.Effect<void> => {
    if (!destination.writable) return Effect.void
    delivered += bytes.length
    if (!destination.write(corrupts > 0 ? damaged(bytes) : bytes)) return drained
    return faults.split === undefined ? Effect.void : Effect.yieldNow
  }

  /** Does one thing, or waits until there is something to do. True at the end. */
  const step = Effect.suspend((): Effect.Effect<boolean> => {
    // Before anything is looked at: a change from here on is noticed.
    changed.closeUnsafe()
    const [piece] = pieces
    const time = now()
    const isIdle = faults.frozen || (piece === undefined && (ending === undefined || faults.blackHole))
    if (isIdle) return Effect.as(changed.await, false)
    if (piece === undefined) {
      if (ending === "FIN") destination.end()
      else if (!destination.destroyed) destination.resetAndDestroy()
      return Effect.succeed(true)
    }
    const wait = Math.max(piece.due, faults.rate === undefined ? 0 : nextAt) - time
    // A change of the faults takes effect at once.
    if (wait > 0) return Effect.as(Effect.raceFirst(Effect.sleep(Math.ceil(wait)), changed.await), false)
    const bytes = take(piece)
    // Timers are late; a line catches up, but never with more than a short burst.
    if (faults.rate !== undefined) {
      nextAt = Math.max(nextAt, time - 3 * rateInterval) + bytes.length / faults.rate * 1_000
    }
    review()
    return faults.blackHole ? Effect.succeed(false) : Effect.as(deliver(bytes), false)
  })

  return {
    run: Effect.asVoid(Effect.repeat(step, { until: (isOver) => isOver })),
    set: (change) => {
      faults = { ...faults, ...change }
      review()
    },
    fin: () => end("FIN"),
    corrupt: () => {
      corrupts++
    },
    delivered: () => delivered
  }
}
