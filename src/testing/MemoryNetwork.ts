import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type { RelayTransport } from "../services/RelayTransport.ts"

/** Where a listener is reached, as diallers name it. */
export interface MemoryAddress {
  readonly host: string
  readonly port: number
}

/** What the way to one address does to everything that travels on it, in both directions. */
export interface LinkConditions {
  /** One way, for bytes written from now on; order is kept when it shrinks. A dial takes two of them. Default 0. */
  readonly latency: Duration.Input
  /** While true nothing arrives and dials hang; nothing is lost, and it all arrives after the thaw. Default false. */
  readonly frozen: boolean
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
  /** Holds back everything in both directions, as if a cable were cut that somebody will mend. */
  readonly freeze: () => void
  readonly thaw: () => void
}

/**
 * A network inside the process, and the hand that disturbs it. It is deterministic: time comes from the `Clock` alone, order is
 * the order of writing, and nothing is ever delivered while the writer's call is running. At latency 0 bytes arrive without the
 * clock moving. Host names need no registration: an address with a listener answers, one without refuses, and names under
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
  /** Changes the named conditions of the way to an address; the others stay. Open connections are affected as well. */
  readonly conditions: (address: MemoryAddress, change: Partial<LinkConditions>) => void
  /** Connections that are not yet closed by both ends, in the order of dialling. */
  readonly connections: () => ReadonlyArray<MemoryConnection>
  /** Resets every open connection. */
  readonly cutAll: () => void
}>()("causeway/testing/MemoryNetwork") {}
