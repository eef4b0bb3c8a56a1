/**
 * One connection to one relay, from dial to loss. It never succeeds: where it stands in this function is the relay's state, and its
 * scope is its clean-up. Packets are `protocol/relay/ClientLink`'s business; here are the socket, the stages and their deadlines.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Crypto, KeyPair } from "../protocol/crypto/Crypto.ts"
import { ClientLink, type ClientLinkIo } from "../protocol/relay/ClientLink.ts"
import { clientHello, forgetHello, openServerHello } from "../protocol/relay/relayHandshake.ts"
import type { RelayLinkEvents } from "../protocol/relay/RelayLink.ts"
import { formatHostPort, type RelayAddress } from "../schema/RelayAddress.ts"
import { serverHelloSize } from "../schema/RelayHello.ts"
import type { Entropy } from "../services/Entropy.ts"
import type { RelayState } from "../services/RelayClient.ts"
import * as Reason from "../services/RelayError.ts"
import { RelayError } from "../services/RelayError.ts"
import type { RelayNumbers } from "../services/RelaySettings.ts"
import type { RelayTransport, TransportConnection, TransportError } from "../services/RelayTransport.ts"
import { monotonicMillis } from "./monotonicMillis.ts"

/** What every session of one client works with. */
export interface RelaySessionTools {
  readonly transport: RelayTransport["Service"]
  readonly crypto: Crypto
  readonly entropy: Entropy["Service"]
  /** The key pair that relays know us by. */
  readonly keys: KeyPair
  readonly numbers: RelayNumbers
}

/** A timer that is later than this, milliseconds, was held up by our own program: nobody else is to blame for the silence. */
const stallTolerance = 500
/** How often a connection is looked at, milliseconds: sockets block and relays wedge without telling. */
const lookInterval = 500

export const run = Effect.fnUntraced(function*(
  tools: RelaySessionTools,
  relay: RelayAddress,
  events: RelayLinkEvents,
  onState: (state: RelayState) => void
): Effect.fn.Return<never, RelayError, Scope.Scope> {
  const { crypto, entropy, keys, numbers, transport } = tools
  const now = monotonicMillis(yield* Clock.Clock)
  let wasConfirmed = false
  const fail = (reason: Reason.RelayErrorReason) =>
    Effect.fail(new RelayError({ relay: formatHostPort(relay), wasConfirmed, reason }))
  const within = (stage: Reason.RelayTimedOut["stage"], duration: number) =>
    Effect.timeoutOrElse({ duration, orElse: () => fail(new Reason.RelayTimedOut({ stage })) })
  const refused = (detail: string) => fail(new Reason.RelayHandshakeFailed({ detail }))

  onState({ _tag: "Connecting" })
  const connection = yield* transport.connect(relay).pipe(
    Effect.catchTag("TransportError", (error) => fail(new Reason.RelayDialFailed({ detail: error.message }))),
    within("Dial", numbers.dialTimeout)
  )

  onState({ _tag: "Handshaking" })
  const hello = yield* Effect.acquireRelease(
    Effect.sync(() => clientHello(crypto, keys, relay.publicKey, entropy.fill)),
    (hello) => Effect.sync(() => hello && forgetHello(hello.state))
  )
  if (hello === undefined) return yield* refused("its key is our own or cannot be used")
  const { answer, rest } = yield* exchangeHellos(connection, hello.bytes).pipe(
    Effect.catchTag("TransportError", () => refused("closed during the handshake")),
    within("Handshake", numbers.handshakeTimeout)
  )

  const socket = watchWrites(connection, now)
  const io: ClientLinkIo = {
    write: socket.write,
    now,
    defer: queueMicrotask,
    fill: entropy.fill,
    onConfirmed: () => {
      wasConfirmed = true
      onState({ _tag: "Confirmed" })
    }
  }
  const link = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const session = openServerHello(crypto, hello.state, answer)
      return session && new ClientLink(relay, keys.publicKey, session, numbers, io, events)
    }),
    (link) => Effect.sync(() => link?.end())
  )
  if (link === undefined) return yield* refused("its answer does not open")
  connection.onDrain(() => {
    socket.drained()
    link.drained()
  })
  link.begin()

  /** Takes the chunks of one read; what the relay did wrong, or undefined. */
  const take = (chunks: ReadonlyArray<Uint8Array>): string | undefined => {
    for (const chunk of chunks) {
      const violation = link.receive(chunk)
      if (violation !== undefined) return violation
    }
    link.endBatch()
    return undefined
  }
  const readUntil = Effect.fnUntraced(function*(done: () => boolean, first: ReadonlyArray<Uint8Array>) {
    let chunks = first
    while (true) {
      const violation = take(chunks)
      if (violation !== undefined) return yield* fail(new Reason.RelayProtocolViolation({ detail: violation }))
      if (done()) return
      // Answers to a relay that asks much and takes nothing would pile up without bound.
      if (connection.pendingBytes() > 2 * numbers.causewayMarkWindow) yield* socket.untilDrained
      chunks = yield* connection.pull
    }
  })

  yield* readUntil(() => link.isConfirmed, rest).pipe(
    Effect.catchTag("TransportError", () => refused("closed before it confirmed")),
    within("Confirm", numbers.confirmTimeout)
  )

  const read = readUntil(() => false, []).pipe(
    Effect.catchTag("TransportError", (error) => fail(new Reason.RelayClosed({ detail: error.message }))),
    Effect.andThen(Effect.never)
  )
  const longestSleep = Math.min(numbers.pingTimeout, numbers.writeTimeout, lookInterval)
  const watch = Effect.gen(function*() {
    while (true) {
      const from = now()
      // A ping sent while this sleeps cannot expire before it wakes.
      const planned = Math.min(link.nextCheck, from + longestSleep)
      const wait = Math.max(1, Math.ceil(planned - from))
      yield* Effect.sleep(wait)
      const woken = now()
      if (woken - from - wait > stallTolerance) {
        link.forgive(woken)
        socket.forgive(woken)
      }
      if (link.check(woken)) return yield* fail(new Reason.RelayTimedOut({ stage: "Ping" }))
      if (socket.blockedFor(woken) >= numbers.writeTimeout) {
        return yield* fail(new Reason.RelayTimedOut({ stage: "Write" }))
      }
    }
  })
  return yield* Effect.raceAllFirst([read, watch])
})

/** Sends our hello and waits for the relay's, however it is cut. What came behind it are the first frames. */
const exchangeHellos = Effect.fnUntraced(function*(
  connection: TransportConnection,
  ours: Uint8Array
): Effect.fn.Return<{ answer: Uint8Array; rest: ReadonlyArray<Uint8Array> }, TransportError> {
  connection.write(ours)
  const answer = new Uint8Array(serverHelloSize)
  const rest: Array<Uint8Array> = []
  let size = 0
  while (size < serverHelloSize) {
    for (const chunk of yield* connection.pull) {
      const part = chunk.subarray(0, serverHelloSize - size)
      answer.set(part, size)
      size += part.length
      if (part.length < chunk.length) rest.push(chunk.subarray(part.length))
    }
  }
  return { answer, rest }
})

/** Knows since when a socket has taken nothing of what it was given. */
const watchWrites = (connection: TransportConnection, now: () => number) => {
  let written = 0
  let blocked: { readonly taken: number; readonly at: number } | undefined
  let resumeReading: (() => void) | undefined
  const taken = () => written - connection.pendingBytes()
  return {
    write: (bytes: Uint8Array): boolean => {
      written += bytes.length
      if (connection.write(bytes)) return true
      blocked ??= { taken: taken(), at: now() }
      return false
    },
    /** Milliseconds without progress, 0 when nothing waits. */
    blockedFor: (at: number): number => {
      if (blocked === undefined) return 0
      if (taken() > blocked.taken) blocked = { taken: taken(), at }
      return at - blocked.at
    },
    forgive: (at: number): void => {
      if (blocked !== undefined) blocked = { taken: blocked.taken, at }
    },
    drained: (): void => {
      blocked = undefined
      resumeReading?.()
    },
    untilDrained: Effect.callback<void>((resume) => {
      if (blocked === undefined) return resume(Effect.void)
      resumeReading = () => {
        resumeReading = undefined
        resume(Effect.void)
      }
    })
  }
}
