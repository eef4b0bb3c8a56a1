/**
 * Sessions whose contents can be judged at the end: each direction is a stream of its own size and contents, written in parts over the
 * whole time, and hashed at both ends.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import * as Value from "../../src/schema/SessionValue.ts"
import type { Peer } from "../../src/services/Causeway.ts"
import type { ByteSession, SessionOffer, ValueSession } from "../../src/services/Session.ts"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"
import { Dice } from "../../src/testing/simulation/Dice.ts"

/** The largest stream, bytes. */
const largest = 1024 * 1024
/** A value of a message session, at most. */
const largestValue = 64 * 1024
const mostParts = 8

/** A part of a stream: how many bytes, and when they are written, milliseconds from the beginning. */
interface Part {
  readonly at: number
  readonly size: number
}

/** What one end writes. */
interface Script {
  readonly parts: ReadonlyArray<Part>
  /** Where its contents begin in the pool. */
  readonly offset: number
}

/** What goes through one session: from the opener, and from the other end. */
export interface Plan {
  readonly name: string
  readonly kind: "bytes" | "values"
  readonly opener: Script
  readonly acceptor: Script
}

/** A stream as one end knows it. */
export interface Flow {
  readonly size: number
  readonly hash: string
}

/** What one end of a session has written and read. */
export interface Outcome {
  readonly written: Flow
  readonly read: Flow
}

/** From one byte to the largest, every order of magnitude as often as any other; the first two are the extremes. */
const sizeOf = (dice: Dice, number: number): number =>
  number === 0 ? 1 : number === 1 ? largest : Math.round(largest ** (dice.between(0, 1_000_000) / 1_000_000))

const scriptOf = (dice: Dice, size: number, milliseconds: number): Script => {
  const count = Math.min(size, dice.between(1, mostParts))
  const cuts = Array.from({ length: count - 1 }, () => dice.between(0, size)).toSorted((x, y) => x - y)
  const times = Array.from({ length: count }, () => dice.between(0, milliseconds)).toSorted((x, y) => x - y)
  const parts = times.map((at, i) => ({ at, size: (cuts[i] ?? size) - (cuts[i - 1] ?? 0) }))
  return { parts, offset: dice.between(0, largest) }
}

/** `count` sessions that are busy for so many milliseconds. */
export const plan = (seed: number, count: number, milliseconds: number): ReadonlyArray<Plan> => {
  const dice = new Dice(seed)
  return Array.from({ length: count }, (_, i) => ({
    name: `soak ${i}`,
    kind: i % 4 === 3 ? "values" : "bytes",
    opener: scriptOf(dice, sizeOf(dice, i), milliseconds),
    acceptor: scriptOf(dice, sizeOf(dice, i === 0 ? 1 : i === 1 ? 0 : i), milliseconds)
  }))
}

/** Where all contents come from: streams begin at places of their own, so bytes of another session are noticed. */
export const makePool = (seed: number): Uint8Array => EntropySeeded.make(seed).bytes(2 * largest)

/** A session of either kind as bytes. */
interface Bytes {
  readonly write: (bytes: Uint8Array) => Effect.Effect<void, unknown>
  readonly read: Stream.Stream<Uint8Array, unknown>
  readonly session: ByteSession | ValueSession
}

const ofBytes = (session: ByteSession): Bytes => ({ write: session.write, read: session.stream, session })

const ofValues = (session: ValueSession): Bytes => ({
  write: (bytes) => {
    const values: Array<Value.SessionValue> = []
    for (let at = 0; at < bytes.length; at += largestValue) {
      values.push(Value.Bytes.make({ bytes: bytes.subarray(at, at + largestValue) }))
    }
    return session.sendAll(values)
  },
  read: Stream.map(session.stream, (value) => value._tag === "Bytes" ? value.bytes : new Uint8Array(0)),
  session
})

/** Writes and reads one end of a session until both directions have ended and both ends know it. */
const run = Effect.fnUntraced(function*(
  { read, session, write }: Bytes,
  { offset, parts }: Script,
  pool: Uint8Array,
  elapsed: () => number
) {
  const writing = Effect.gen(function*() {
    const hash = createHash("sha256")
    let size = 0
    for (const part of parts) {
      yield* Effect.sleep(Math.max(0, part.at - elapsed()))
      const bytes = pool.subarray(offset + size, offset + size + part.size)
      hash.update(bytes)
      size += bytes.length
      yield* write(bytes)
    }
    yield* session.end
    return { size, hash: hash.digest("hex") }
  })
  const reading = Effect.gen(function*() {
    const hash = createHash("sha256")
    let size = 0
    yield* Stream.runForEach(read, (chunk) =>
      Effect.sync(() => {
        hash.update(chunk)
        size += chunk.length
      }))
    return { size, hash: hash.digest("hex") }
  })
  const [written, seen] = yield* Effect.all([writing, reading], { concurrency: "unbounded" })
  yield* session.closed
  return { written, read: seen } satisfies Outcome
})

/** Opens the session and does the opener's part. */
export const open = (peer: Peer, { kind, name, opener }: Plan, pool: Uint8Array, elapsed: () => number) =>
  Effect.scoped(Effect.gen(function*() {
    const session = kind === "bytes" ? ofBytes(yield* peer.openBytes(name)) : ofValues(yield* peer.openValues(name))
    return yield* run(session, opener, pool, elapsed)
  }))

/** Accepts the session and does the other part. */
export const accept = (offer: SessionOffer, { acceptor, kind }: Plan, pool: Uint8Array, elapsed: () => number) =>
  Effect.scoped(Effect.gen(function*() {
    const session = kind === "bytes" ? ofBytes(yield* offer.bytes) : ofValues(yield* offer.values())
    return yield* run(session, acceptor, pool, elapsed)
  }))
