/**
 * A scripted relay client on any `RelayTransport`. It does what the test says and nothing else, except that it answers the relay's
 * pings unless told not to.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type { Scope } from "effect/Scope"
import type { KeyPair } from "../../src/protocol/crypto/Crypto.ts"
import type { RelayAddress } from "../../src/schema/RelayAddress.ts"
import { Entropy } from "../../src/services/Entropy.ts"
import { RelayTransport, type TransportConnection, type TransportError } from "../../src/services/RelayTransport.ts"
import { ToxCrypto } from "../../src/services/ToxCrypto.ts"
import { packets, RelayTestSession } from "./RelayTestSession.ts"

export const freshKeys: Effect.Effect<KeyPair, never, ToxCrypto | Entropy> = Effect.gen(function*() {
  const crypto = yield* ToxCrypto
  const entropy = yield* Entropy
  const secretKey = Redacted.make(entropy.bytes(32))
  return { publicKey: crypto.publicKey(secretKey), secretKey }
})

export class RelayTestClient {
  readonly keys: KeyPair
  readonly session: RelayTestSession
  readonly connection: TransportConnection
  /** How the connection ended, if it did. */
  ended: TransportError | undefined
  answersPings = true
  /** While false nothing is read from the socket. */
  reads = true
  /** Called after each batch of packets, with `session.received` to look at or empty. */
  onBatch: () => void = () => {}

  constructor(keys: KeyPair, session: RelayTestSession, connection: TransportConnection) {
    this.keys = keys
    this.session = session
    this.connection = connection
  }

  /** Sends bytes as they are. */
  sendRaw(bytes: Uint8Array): void {
    this.connection.write(bytes.slice())
  }

  /** Sends packets in one write. */
  send(...plains: ReadonlyArray<Uint8Array>): void {
    this.connection.write(this.session.seal(...plains))
  }

  take(): Array<Array<number>> {
    return this.session.take()
  }

  /** Takes bytes from the relay. */
  accept(bytes: Uint8Array): void {
    const before = this.session.received.length
    this.session.accept(bytes)
    if (!this.answersPings) return
    const pongs = this.session.received.slice(before).filter((plain) => plain[0] === 4)
    if (pongs.length > 0) this.send(...pongs.map((ping) => packets.pong(ping.subarray(1))))
  }
}

/** Dials a relay and reads from it in a fiber of the scope. Sends nothing yet. */
export const dial = Effect.fnUntraced(function*(
  relay: RelayAddress,
  keys?: KeyPair
): Effect.fn.Return<RelayTestClient, TransportError, RelayTransport | ToxCrypto | Entropy | Scope> {
  const transport = yield* RelayTransport
  const crypto = yield* ToxCrypto
  const { fill } = yield* Entropy
  const own = keys ?? (yield* freshKeys)
  const connection = yield* transport.connect(relay)
  const client = new RelayTestClient(own, new RelayTestSession(crypto, own, relay.publicKey, fill), connection)
  const read: Effect.Effect<void, TransportError> = Effect.suspend(() =>
    client.reads
      ? Effect.map(connection.pull, (chunks) => {
        for (const chunk of chunks) client.accept(chunk)
        client.onBatch()
      })
      : Effect.sleep("10 millis")
  )
  yield* Effect.forever(read).pipe(
    Effect.catchTag("TransportError", (error) =>
      Effect.sync(() => {
        client.ended = error
      })),
    Effect.forkScoped
  )
  return client
})

/** Waits at least once, and again while something has not come; gives up at last, so that the test can say what is missing. */
const arrival = (wait: Effect.Effect<void>, hasCome: () => boolean): Effect.Effect<void> =>
  Effect.gen(function*() {
    yield* wait
    for (let again = 0; again < 1_000 && !hasCome(); again++) yield* wait
  })

const hasReceived = ({ session }: RelayTestClient, ...types: ReadonlyArray<number>): boolean =>
  types.every((type) => session.received.some((plain) => plain[0] === type))

/** Dials, and sends the hello. `wait` lets the relay's answer arrive. */
export const greet = Effect.fnUntraced(function*(relay: RelayAddress, wait: Effect.Effect<void>, keys?: KeyPair) {
  const client = yield* dial(relay, keys)
  client.sendRaw(client.session.hello)
  yield* wait
  return client
})

/** A confirmed client with nothing waiting in `take`. */
export const login = Effect.fnUntraced(function*(relay: RelayAddress, wait: Effect.Effect<void>, keys?: KeyPair) {
  const client = yield* dial(relay, keys)
  client.sendRaw(client.session.hello)
  yield* arrival(wait, () => client.session.isOpen)
  client.send(packets.ping(1, 2, 3, 4, 5, 6, 7, 8))
  yield* arrival(wait, () => hasReceived(client, 5))
  client.take()
  return client
})

/** Links two clients; returns the ids that they know each other by. */
export const link = Effect.fnUntraced(function*(a: RelayTestClient, b: RelayTestClient, wait: Effect.Effect<void>) {
  a.send(packets.route(b.keys.publicKey))
  yield* arrival(wait, () => hasReceived(a, 1))
  b.send(packets.route(a.keys.publicKey))
  yield* arrival(wait, () => hasReceived(a, 1, 2) && hasReceived(b, 1, 2))
  const idOf = (client: RelayTestClient) => client.take().find((plain) => plain[0] === 1)![1]!
  return { ab: idOf(a), ba: idOf(b) }
})

/** Lets everything that needs no time happen, in the network inside the process. */
export const settle: Effect.Effect<void> = Effect.gen(function*() {
  for (let i = 0; i < 60; i++) yield* Effect.yieldNow
})
