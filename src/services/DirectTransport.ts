import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { IpEndpoint } from "../schema/IpEndpoint.ts"
import type { TransportError } from "./RelayTransport.ts"

/** What a direct stream reports: plain synchronous calls, once per chunk. */
export interface DirectStreamHandlers {
  /** The next bytes of the peer, which then belong to the receiver. */
  readonly onBytes: (bytes: Uint8Array) => void
  /** Everything written has been taken by the operating system, after `write` returned false. */
  readonly onWritable: () => void
  /** The stream is over, for whatever reason; called once, also after an end of ours, never before the last bytes. */
  readonly onClosed: (error: TransportError) => void
}

/**
 * One secured TCP connection to a peer. Its scope owns it: closing that ends the stream gracefully within 2 s and destroys it after
 * that. Sending and receiving are plain calls, because they are made once per batch.
 */
export interface DirectStream {
  /** The far side's address and port. */
  readonly remote: IpEndpoint
  /** The ephemeral key exchange that was negotiated, `X25519MLKEM768` on Node 24. Never one without forward secrecy. */
  readonly keyExchange: string
  /** By which identity of the pre-shared key the two sides found each other. */
  readonly pskIdentity: string
  /**
   * Registers the receiver. Another call replaces it. Bytes that nobody has received yet are delivered first, inside the call, unless
   * the stream is held; a stream that is over already then tells this receiver as well.
   */
  readonly handle: (handlers: DirectStreamHandlers) => void
  /**
   * Queues the pieces in order, which must not be changed any more, as one batch. False: more is queued than is taken at once (256 KiB
   * over TCP), so stop until `onWritable`; the pieces are taken all the same. After the end they are dropped, with true.
   */
  readonly write: (pieces: ReadonlyArray<Uint8Array>) => boolean
  /**
   * Stops (true) or resumes (false) the delivery of the peer's bytes, and of the end behind them. While it is stopped, or nobody has
   * called `handle`, at most 512 KiB are read.
   */
  readonly hold: (held: boolean) => void
  /**
   * Ends the stream at once, without waiting for what is queued; the far side sees `Reset` or `Ended`, as the system likes. `onClosed`
   * follows, not inside the call. Idempotent.
   */
  readonly destroy: () => void
}

/** The pre-shared key of one attempt: 32 bytes, and the text by which the listener finds it. */
export interface DirectSecret {
  readonly pskIdentity: string
  readonly psk: Uint8Array
}

/** A caller that was not secured. */
export interface RefusedCaller {
  readonly remote: IpEndpoint
  /** What it called itself, when it came so far; nothing of it is proven. */
  readonly pskIdentity: string | undefined
  /** `Denied` with `UNKNOWN_IDENTITY`, `DECRYPT_ERROR` (another key), `ETIMEDOUT` or TLS' own word; `Reset` or `Ended` when it left. */
  readonly error: TransportError
}

/** A listening socket for direct streams; its scope owns it. */
export interface DirectListener {
  /** The bound address and the real port. */
  readonly host: string
  readonly port: number
  /**
   * Runs `handler` in a fiber and a scope of its own for each stream that has been secured. Handshakes run concurrently, each with a
   * deadline, so many at a time in all and for each address as `DirectSettings` allow; those beyond are closed at once. Nothing that a
   * caller does ends the listener. `onRefused` is told of each caller whose handshake failed, synchronously; it must not throw.
   */
  readonly serve: <R>(
    handler: (stream: DirectStream) => Effect.Effect<void, never, R>,
    onRefused?: (refused: RefusedCaller) => void
  ) => Effect.Effect<never, never, Exclude<R, Scope.Scope>>
}

/**
 * Secured TCP connections between peers (design, "Direct links"). Layers: `DirectTransportNode` (TLS 1.3 with a pre-shared key and
 * ephemeral key exchange) and `DirectTransportMemory` (a network inside the process). Who is allowed, and what a stream is for, is
 * `DirectLinks`' business.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import { DirectTransport } from "effect-causeway"
 *
 * const ownAddresses = Effect.flatMap(DirectTransport, (transport) => transport.addresses)
 * ```
 */
export class DirectTransport extends Context.Service<DirectTransport, {
  /**
   * Dials and secures; interruptible, so that callers put their own deadline around it. Beyond the failures of a dial: `Denied` with
   * `DECRYPT_ERROR` when the listener knows another key, `HANDSHAKE_FAILURE` when it does not know the identity, `NO_PSK` when it
   * proves itself with anything but the key, `NO_FORWARD_SECRECY`, or TLS' own word; `Reset` or `Ended` when it hung up.
   */
  readonly connect: (
    endpoint: IpEndpoint,
    secret: DirectSecret
  ) => Effect.Effect<DirectStream, TransportError, Scope.Scope>
  /**
   * Binds and listens; port 0 takes a free port. `pskOf` is asked during each handshake, synchronously; `undefined` refuses the caller. It is
   * asked every time: a caller cannot resume an earlier connection without it.
   */
  readonly listen: (
    address: { readonly host: string; readonly port: number },
    pskOf: (pskIdentity: string, remote: IpEndpoint) => Uint8Array | undefined
  ) => Effect.Effect<DirectListener, TransportError, Scope.Scope>
  /** The addresses of this machine's interfaces that are up, loopback included. */
  readonly addresses: Effect.Effect<ReadonlyArray<string>>
}>()("causeway/services/DirectTransport") {}
