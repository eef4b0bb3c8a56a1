import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type { RelayTransport } from "../services/RelayTransport.ts"

/** Where a listener is reached, as diallers name it. */
export interface MemoryAddress {
  readonly host: string
  readonly port: number
}

/** One of the two directions of a connection. */
export type MemoryDirection = "toServer" | "toClient"

/** What the way to one address does to everything that travels on it, in both directions. */
export interface LinkConditions {
  /** One way, for bytes written from now on; order is kept when it shrinks. A dial takes two of them. Default 0. */
  readonly latency: Duration.Input
  /** Each piece takes a random time up to this longer; order is kept. Default 0. */
  readonly jitter: Duration.Input
  /**
   * While it is true nothing arrives and dials hang; nothing is lost, and it all arrives after the thaw. A direction freezes only
   * what travels in that direction. Default false.
   */
  readonly frozen: boolean | MemoryDirection
}

/** One open connection, seen from outside. */
export interface MemoryConnection {
  /** Counts up from 1 in the order of dialling. */
  readonly id: number
  /** The address of the machine that dialled. */
  readonly client: string
  /** What it dialled. */
  readonly server: MemoryAddress
  /** Bytes that were written and not yet pulled. */
  readonly bytesUnderway: () => { readonly toServer: number; readonly toClient: number }
  /** Breaks it for both ends at once; bytes that have not arrived are lost. Both `pull`s fail with `Reset`. */
  readonly reset: () => void
  /** Holds back everything, or one direction, as if a cable were cut that somebody will mend. */
  readonly freeze: (direction?: MemoryDirection) => void
  /** Ends what `freeze` began, in both directions. */
  readonly thaw: () => void
}

/**
 * A network inside the process, and the hand that disturbs it. It is deterministic: time comes from the `Clock` alone, jitter from a
 * seed, order is the order of writing, and nothing is ever delivered while the writer's call is running. At latency 0 bytes arrive
 * without the clock moving. Host names need no registration: an address with a listener answers, one without refuses, and names under
 * `.invalid` are not found.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import { MemoryNetwork } from "effect-causeway/testing"
 *
 * const slowRelay = Effect.gen(function*() {
 *   const network = yield* MemoryNetwork
 *   network.conditions({ host: "relay-1", port: 443 }, { latency: "150 millis" })
 * })
 * ```
 */
export class MemoryNetwork extends Context.Service<MemoryNetwork, {
  /** The transport of a machine with this address, which listeners see as `remoteAddress`. */
  readonly transport: (machine: string) => RelayTransport["Service"]
  /**
   * Changes the named conditions of the way to an address; the others stay. Open connections are affected as well. With a machine only
   * its own way changes: its latency and jitter replace those of the address, and it is frozen when either is.
   */
  readonly conditions: (address: MemoryAddress, change: Partial<LinkConditions>, machine?: string) => void
  /**
   * Separates machines from addresses until the returned function is called: nothing arrives, dials hang, and nothing is lost.
   * Partitions may overlap.
   */
  readonly partition: (machines: Iterable<string>, addresses: Iterable<MemoryAddress>) => () => void
  /** Connections that are not yet closed by both ends, in the order of dialling. */
  readonly connections: () => ReadonlyArray<MemoryConnection>
  /** The addresses that somebody listens at. */
  readonly listeners: () => ReadonlyArray<MemoryAddress>
  /** Resets every open connection. */
  readonly cutAll: () => void
}>()("causeway/testing/MemoryNetwork") {}
