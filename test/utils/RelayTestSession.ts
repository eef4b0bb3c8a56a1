/**
 * The client's side of one relay connection for tests, as plain code: it makes the hello, seals whatever it is told to, also what no
 * honest client would send, and collects the packets that come back. It answers nothing by itself.
 */
import type { Crypto, KeyPair } from "../../src/protocol/crypto/Crypto.ts"
import { FrameSealer } from "../../src/protocol/relay/FrameSealer.ts"
import { RelayFrames } from "../../src/protocol/relay/RelayFrames.ts"
import { clientHello, type Fill, openServerHello } from "../../src/protocol/relay/relayHandshake.ts"
import type { PublicKey } from "../../src/schema/Bytes.ts"

const serverHelloSize = 96

export class RelayTestSession {
  /** The 128 bytes to send first. */
  readonly hello: Uint8Array
  /** Plaintexts received and not yet taken by `take`. */
  received: Array<Uint8Array> = []
  readonly #crypto: Crypto
  readonly #state: NonNullable<ReturnType<typeof clientHello>>["state"]
  #early: Uint8Array = new Uint8Array(0)
  #sealer: FrameSealer | undefined
  #frames: RelayFrames | undefined

  constructor(crypto: Crypto, ours: KeyPair, relay: PublicKey, fill: Fill) {
    const hello = clientHello(crypto, ours, relay, fill)
    if (hello === undefined) throw new Error("no hello can be made for this relay")
    this.hello = hello.bytes
    this.#state = hello.state
    this.#crypto = crypto
  }

  /** Whether the relay's hello has arrived, so that frames can be sealed. */
  get isOpen(): boolean {
    return this.#frames !== undefined
  }

  /** Takes bytes from the relay. Throws when they are not what a relay may send. */
  accept(bytes: Uint8Array): void {
    if (this.#frames !== undefined) return this.#push(bytes)
    const all = new Uint8Array(this.#early.length + bytes.length)
    all.set(this.#early)
    all.set(bytes, this.#early.length)
    this.#early = all
    if (all.length < serverHelloSize) return
    const session = openServerHello(this.#crypto, this.#state, all.slice(0, serverHelloSize))
    if (session === undefined) throw new Error("the relay's hello does not open")
    this.#sealer = new FrameSealer(session.cipher, session.send)
    this.#frames = new RelayFrames(session.cipher, session.receive)
    this.#push(all.subarray(serverHelloSize))
  }

  /** The frames of these plaintexts, ready to be sent. */
  seal(...plains: ReadonlyArray<Uint8Array>): Uint8Array {
    for (const plain of plains) this.#sealer!.append(plain, plain.length)
    return this.#sealer!.take() ?? new Uint8Array(0)
  }

  /** Everything received since the last call. */
  take(): Array<Array<number>> {
    const taken = this.received
    this.received = []
    return taken.map((plain) => [...plain])
  }

  #push(bytes: Uint8Array): void {
    const violation = this.#frames!.push(bytes, (plain) => void this.received.push(plain.slice()))
    if (violation !== undefined) throw new Error(`the relay sent ${violation}`)
  }
}

/** Plaintexts by name, so that tests read like the packet table. */
export const packets = {
  route: (key: Uint8Array) => Uint8Array.of(0, ...key),
  connect: (id: number) => Uint8Array.of(2, id),
  disconnect: (id: number) => Uint8Array.of(3, id),
  ping: (...id: ReadonlyArray<number>) => Uint8Array.of(4, ...id),
  pong: (id: Iterable<number>) => Uint8Array.of(5, ...id),
  oob: (key: Uint8Array, payload: Uint8Array) => Uint8Array.of(6, ...key, ...payload),
  data: (id: number, ...payload: ReadonlyArray<number>) => Uint8Array.of(id, ...payload),
  ofSize: (type: number, size: number) => {
    const plain = new Uint8Array(size).fill(0x5a)
    plain[0] = type
    return plain
  }
} as const

/** Whether a packet is the first ping of a Causeway relay. */
export const isCausewayPing = (plain: ArrayLike<number> | undefined): boolean =>
  plain !== undefined && plain.length === 9 && plain[0] === 4 &&
  plain[1] === 0x43 && plain[2] === 0x57 && plain[3] === 0x59 && plain[4] === 0x01
