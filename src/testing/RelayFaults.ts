import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type { PublicKey } from "../schema/Bytes.ts"

/** Whose packets, and to whom: DHT keys. One that is left out stands for everybody; of several that fit, the narrowest holds. */
export interface RelayFaultDirection {
  readonly from?: PublicKey
  readonly to?: PublicKey
}

/**
 * What a relay does to the packets of one direction, data and out of band, while everything else about it works: it confirms, links
 * and answers pings. Probabilities are from 0 to 1 and hold for each packet by itself.
 */
export interface RelayFault {
  readonly drop: number
  readonly duplicate: number
  /** The probability of being held back for `reorderBy` more than the others, which overtake it. */
  readonly reorder: number
  /** Default 10 ms. */
  readonly reorderBy: Duration.Input
  /** Keeps the order. Packets on their way are held in memory, without a bound. */
  readonly delay: Duration.Input
  /** Tells the receiver that the sender is online as soon as it asks for it, linked or not. */
  readonly claimOnline: boolean
  /** Never tells the receiver that the sender has come, or that it has gone. */
  readonly hideOnline: boolean
  readonly hideOffline: boolean
}

/** How often each fault has struck, since the relay started. `lies` are notifications made up or withheld. */
export interface RelayFaultCounts {
  readonly dropped: number
  readonly duplicated: number
  readonly reordered: number
  readonly delayed: number
  readonly lies: number
}

/**
 * The faults of one relay made by `RelayServerFaulty.layer`. All chance comes from `Entropy` and all time from `Clock`.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import { RelayFaults } from "effect-causeway/testing"
 *
 * // A relay that answers every ping and loses every packet.
 * const swallow = Effect.map(RelayFaults, (faults) => faults.set({}, { drop: 1 }))
 * ```
 */
export class RelayFaults extends Context.Service<RelayFaults, {
  /** Changes the named faults of a direction; what was set for the same direction before stays. */
  readonly set: (direction: RelayFaultDirection, change: Partial<RelayFault>) => void
  /** Ends all faults. Packets on their way still arrive. */
  readonly clear: () => void
  /**
   * Tells one client now that another one is online, or offline, whether that is true or not. False, and nothing is sent, when the
   * receiver is not here or has not asked for that key.
   */
  readonly announce: (about: { readonly from: PublicKey; readonly to: PublicKey }, isOnline: boolean) => boolean
  readonly counts: () => RelayFaultCounts
}>()("causeway/testing/RelayFaults") {}
