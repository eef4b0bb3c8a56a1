/** A relay core with scripted clients and no sockets: every test runs in one synchronous step, on a clock that the test moves. */
import type { KeyPair } from "../../src/protocol/crypto/Crypto.ts"
import { RelayServerAdmission } from "../../src/protocol/relay-server/RelayServerAdmission.ts"
import type { RelayServerClient, RelayServerConnection } from "../../src/protocol/relay-server/RelayServerClient.ts"
import { RelayServerCore } from "../../src/protocol/relay-server/RelayServerCore.ts"
import { type RelayServerNumbers, RelayServerSettings } from "../../src/services/RelayServerSettings.ts"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"
import { keyPairFrom, plainCrypto } from "./plainCrypto.ts"
import { packets, RelayTestSession } from "./RelayTestSession.ts"

/** The limits hold for everybody: all clients of a test come from one machine. */
export const limits: RelayServerNumbers = { ...RelayServerSettings.defaultValue(), limitLoopback: true }

export const relayKeys = keyPairFrom(0x01)

/** One scripted client and its end of the socket. */
export class CoreClient {
  readonly session: RelayTestSession
  readonly connection: RelayServerConnection
  readonly keys: KeyPair
  /** How many more writes the socket takes before it says that it is full. */
  takes = Infinity
  pending = 0
  /** Whether the relay has told the socket to end. */
  ended = false
  readonly #harness: CoreHarness

  constructor(harness: CoreHarness, keys: KeyPair) {
    this.#harness = harness
    this.keys = keys
    this.session = new RelayTestSession(plainCrypto, keys, relayKeys.publicKey, harness.fill)
    this.connection = harness.core.accept("192.0.2.1", {
      write: (bytes) => {
        this.session.accept(bytes)
        if (this.takes > 0) {
          this.takes--
          return true
        }
        this.pending += bytes.length
        return false
      },
      pendingBytes: () => this.pending,
      end: () => {
        this.ended = true
      }
    })
  }

  get client(): RelayServerClient {
    return this.connection.client!
  }

  /** Sends the hello and takes the answer; false when the relay closed. */
  greet(hello = this.session.hello): boolean {
    const reply = this.#harness.core.answer(this.connection, hello)
    this.#harness.core.endBatch()
    if (reply !== undefined) this.session.accept(reply)
    return reply !== undefined
  }

  /** Sends bytes as they are; how many of them the relay took before it wanted to pause. */
  sendRaw(bytes: Uint8Array, from = 0): number {
    const taken = this.#harness.core.receive(this.client, bytes, from)
    this.#harness.core.endBatch()
    return taken
  }

  /** Sends packets in one segment. */
  send(...plains: ReadonlyArray<Uint8Array>): void {
    this.sendRaw(this.session.seal(...plains))
  }

  /** Everything received since the last call. */
  take(): Array<Array<number>> {
    return this.session.take()
  }

  /** The socket takes bytes again, as many writes as said. */
  drain(takes = Infinity): void {
    this.takes = takes
    this.pending = 0
    this.#harness.core.drained(this.connection)
  }

  /** Answers the ping that is outstanding. */
  answerPing(): void {
    const ping = this.session.received.find((plain) => plain[0] === 4)
    if (ping !== undefined) this.send(packets.pong(ping.subarray(1)))
  }
}

export class CoreHarness {
  readonly admission: RelayServerAdmission
  readonly core: RelayServerCore
  readonly fill = EntropySeeded.make(7).fill
  #clock = 1_000
  #keys = 0x21

  constructor(changes: Partial<typeof limits> = {}) {
    const numbers = { ...limits, ...changes }
    this.admission = new RelayServerAdmission(numbers)
    this.core = new RelayServerCore({
      crypto: plainCrypto,
      keyPair: relayKeys,
      fill: this.fill,
      limits: numbers,
      admission: this.admission
    })
    this.core.at(this.#clock)
  }

  connect(keys = keyPairFrom(this.#keys += 3)): CoreClient {
    return new CoreClient(this, keys)
  }

  /** A confirmed client whose first pings have been answered and taken. */
  login(keys?: KeyPair): CoreClient {
    const client = this.connect(keys)
    if (!client.greet()) throw new Error("refused")
    client.send(packets.ping(1, 2, 3, 4, 5, 6, 7, 8))
    client.answerPing()
    client.take()
    return client
  }

  /** Two clients that are linked, and the ids that they know each other by. */
  linked() {
    const a = this.login()
    const b = this.login()
    a.send(packets.route(b.keys.publicKey))
    b.send(packets.route(a.keys.publicKey))
    a.take()
    b.take()
    return { a, b, ab: a.client.links.find(b.client.links.key), ba: b.client.links.find(a.client.links.key) }
  }

  /** Lets time pass in steps of the relay's clockwork. */
  pass(milliseconds: number): void {
    for (let left = milliseconds; left > 0; left -= 250) {
      this.#clock += Math.min(250, left)
      this.core.at(this.#clock)
      this.core.tick()
    }
  }

  /** The event loop stands still: no step until the end. */
  stall(milliseconds: number): void {
    this.#clock += milliseconds
    this.core.at(this.#clock)
  }
}
