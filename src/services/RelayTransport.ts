import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"

/** Why a byte stream could not be opened or has ended. */
export class TransportError extends Schema.TaggedError<TransportError>()("TransportError", {
  /**
   * `Refused`, `Unreachable` and `NotFound` (the host name) come from dialling; `InUse` and `Denied` from listening; `Denied` also
   * from securing a direct connection;
   * `Ended` is the far side's FIN, `Reset` anything harder, `Exhausted` a lack of descriptors.
   */
  kind: Schema.Literals(["Refused", "Unreachable", "NotFound", "InUse", "Denied", "Exhausted", "Ended", "Reset"]),
  /** The operating system's own word for it, such as `ECONNREFUSED`. */
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.kind}: ${this.detail}`
  }
}

/**
 * One open byte stream. Reading is an Effect a batch, writing a plain call, because packets are written from plain code. The scope
 * it was acquired in owns it: closing that scope ends the stream gracefully within 2 s and destroys it after that (reliability F6).
 */
export interface TransportConnection {
  /** The far side's address without port, `127.0.0.1`: what per-address limits count by. */
  readonly remoteAddress: string
  /**
   * The next chunks, at least one. They belong to the caller. Nothing is read from the socket beyond a bounded amount (256 KiB) while nobody pulls.
   * Every ending fails it, a clean one with `Ended`; bytes that arrived before are delivered first.
   */
  readonly pull: Effect.Effect<ReadonlyArray<Uint8Array>, TransportError>
  /**
   * Queues the bytes, which then belong to the transport, without waiting; false when more are queued than the socket takes at
   * once, so that the caller should stop until `onDrain`. Bytes written after the end of the stream are dropped, with true.
   */
  readonly write: (bytes: Uint8Array) => boolean
  /** How many written bytes the operating system has not taken yet. */
  readonly pendingBytes: () => number
  /**
   * Registers the one callback for "everything written so far has been taken", after `write` returned false. It is also called when
   * the stream breaks under a waiting writer, after `pull` has failed; never when its own scope has closed, and never inside `write`.
   */
  readonly onDrain: (callback: () => void) => void
}

/** A listening socket; its scope owns it. */
export interface TransportListener {
  /** The bound address and the real port, also when port 0 was asked for. */
  readonly host: string
  readonly port: number
  /**
   * Runs `handler` in a fiber and a scope of its own for each connection, for ever. `admit` is called first, synchronously, with
   * the remote address; when it returns false the connection is destroyed before it costs a fiber. Accept errors are never fatal.
   */
  readonly serve: <R>(
    handler: (connection: TransportConnection) => Effect.Effect<void, never, R>,
    admit: (remoteAddress: string) => boolean
  ) => Effect.Effect<never, never, Exclude<R, Scope.Scope>>
}

/**
 * Opens and accepts the byte streams between relay clients and relays. Layers: `RelayTransportNode` (TCP with `TCP_NODELAY`) and
 * `RelayTransportMemory` (a network inside the process).
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import { RelayTransport } from "effect-causeway"
 *
 * const isReachable = (host: string, port: number) =>
 *   Effect.flatMap(RelayTransport, (transport) => transport.connect({ host, port })).pipe(
 *     Effect.as(true),
 *     Effect.orElseSucceed(() => false),
 *     Effect.scoped
 *   )
 * ```
 */
export class RelayTransport extends Context.Service<RelayTransport, {
  /** Dials; interruptible, so that callers put their own deadline around it. */
  readonly connect: (
    address: { readonly host: string; readonly port: number }
  ) => Effect.Effect<TransportConnection, TransportError, Scope.Scope>
  /** Binds and listens. Port 0 takes a free port. */
  readonly listen: (
    address: { readonly host: string; readonly port: number }
  ) => Effect.Effect<TransportListener, TransportError, Scope.Scope>
}>()("causeway/services/RelayTransport") {}
