/**
 * A `RelayTransport` whose far ends are scripts: each dial is accepted, refused or left hanging as the test says, and an accepted one
 * speaks the relay protocol with real cryptography until the test takes over.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { FrameSealer } from "../../src/protocol/relay/FrameSealer.ts"
import { RelayFrames } from "../../src/protocol/relay/RelayFrames.ts"
import { answerClientHello, type AnsweredHello } from "../../src/protocol/relay/relayHandshake.ts"
import { RelayTransport, TransportError } from "../../src/services/RelayTransport.ts"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"
import { keyPairFrom, plainCrypto } from "./plainCrypto.ts"

const entropy = EntropySeeded.make(77)

/** The key pair of every scripted relay. */
export const relayKeys = keyPairFrom(0x01)

/** One accepted dial, from the relay's side. */
export class ScriptedRelay {
  /** Packets received in frames, pings included. */
  readonly packets: Array<Uint8Array> = []
  /** Whether the 96 bytes follow the client's hello by themselves. */
  answersHello = true
  /** Whether pings are answered. */
  answersPings = true
  /** What `write` returns to the client: whether its socket has room. */
  accepts = true
  /** Bytes in the client's socket that nobody takes; counted while `accepts` is false. */
  pending = 0
  /** Whether the client's scope has closed. */
  closed = false
  hello: Uint8Array = new Uint8Array(0)
  answered: AnsweredHello | undefined
  onDrain: () => void = () => {}
  #frames: RelayFrames | undefined
  #sealer: FrameSealer | undefined
  #inbox: Array<Uint8Array> = []
  #ending: TransportError | undefined
  #wake: () => void = () => {}

  readonly pull: Effect.Effect<ReadonlyArray<Uint8Array>, TransportError> = Effect.suspend(() => {
    if (this.#inbox.length > 0) return Effect.succeed(this.#inbox.splice(0))
    if (this.#ending !== undefined) return Effect.fail(this.#ending)
    return Effect.callback<ReadonlyArray<Uint8Array>, TransportError>((resume) => {
      this.#wake = () => resume(this.pull)
    })
  })

  /** Bytes as they are, to the client. */
  sendRaw(bytes: Uint8Array): void {
    this.#inbox.push(bytes)
    this.#wake()
  }

  /** Packets in frames, in one chunk. */
  send(...packets: ReadonlyArray<Uint8Array>): void {
    this.sendRaw(this.seal(...packets))
  }

  seal(...packets: ReadonlyArray<Uint8Array>): Uint8Array {
    for (const packet of packets) this.#sealer!.append(packet, packet.length)
    return this.#sealer!.take()!
  }

  /** The 96 bytes that answer the hello; the session exists from here on. */
  answer(): Uint8Array {
    const answered = answerClientHello(plainCrypto, relayKeys, this.hello, entropy.fill)
    if (answered === undefined) throw new Error("the client's hello does not open")
    this.answered = answered
    this.#frames = new RelayFrames(answered.cipher, answered.receive)
    this.#sealer = new FrameSealer(answered.cipher, answered.send)
    return answered.reply
  }

  end(kind: "Ended" | "Reset"): void {
    this.#ending = new TransportError({ kind, detail: kind === "Ended" ? "FIN" : "ECONNRESET" })
    this.#wake()
  }

  /** The client's socket has room again. */
  drain(): void {
    this.accepts = true
    this.pending = 0
    this.onDrain()
  }

  write(bytes: Uint8Array): boolean {
    if (!this.accepts) this.pending += bytes.length
    if (this.answered === undefined) {
      this.hello = bytes
      if (this.answersHello) this.sendRaw(this.answer())
      return this.accepts
    }
    const pongs: Array<Uint8Array> = []
    const violation = this.#frames!.push(bytes, (plain) => {
      this.packets.push(plain.slice())
      if (plain[0] === 4 && this.answersPings) pongs.push(Uint8Array.of(5, ...plain.subarray(1)))
    })
    if (violation !== undefined) throw new Error(violation)
    if (pongs.length > 0) this.send(...pongs)
    return this.accepts
  }
}

export class ScriptedRelays extends Context.Service<ScriptedRelays, {
  /** All accepted dials. */
  readonly relays: Array<ScriptedRelay>
  /** Hosts in the order of all dials. */
  readonly dials: Array<string>
  onDial: (attempt: number) => "accept" | "refuse" | "hang"
  /** Prepares a relay before the client's first byte. */
  onAccept: (relay: ScriptedRelay) => void
}>()("test/ScriptedRelays") {
  static readonly layer = Layer.effectContext(Effect.sync(() => {
    const script: ScriptedRelays["Service"] = { relays: [], dials: [], onDial: () => "accept", onAccept: () => {} }
    const transport = RelayTransport.of({
      listen: () => Effect.die("scripted relays do not listen"),
      connect: Effect.fnUntraced(function*({ host }) {
        script.dials.push(host)
        const decision = script.onDial(script.dials.length)
        if (decision === "refuse") return yield* new TransportError({ kind: "Refused", detail: "ECONNREFUSED" })
        if (decision === "hang") return yield* Effect.never
        const relay = new ScriptedRelay()
        script.onAccept(relay)
        script.relays.push(relay)
        yield* Effect.addFinalizer(() => Effect.sync(() => (relay.closed = true)))
        return {
          remoteAddress: host,
          pull: relay.pull,
          write: (bytes) => relay.write(bytes),
          pendingBytes: () => relay.pending,
          onDrain: (callback) => {
            relay.onDrain = callback
          }
        }
      })
    })
    return Context.make(ScriptedRelays, script).pipe(Context.add(RelayTransport, transport))
  }))
}
