/** What one end of a session is going to do, thrown by the dice. Times are milliseconds, sizes bytes. */
import type { Dice } from "./Dice.ts"
import type { Kind } from "./SessionEnd.ts"

export interface Write {
  /** Waited before it. */
  readonly pause: number
  /** Sizes of the chunks or messages of one call. */
  readonly sizes: ReadonlyArray<number>
  /** Whether to wait until the peer has it. */
  readonly awaitsDelivery: boolean
  /** Sizes of datagrams sent beside it. */
  readonly datagrams: ReadonlyArray<number>
}

/** How an end ends: in order, in order but not before there is peace, with a word to the peer, or by leaving its scope. */
export type Ending = "end" | "end in peace" | "reset" | "leave"

export interface Plan {
  /** Whether the opener waits for the peer before it writes. */
  readonly acceptance: "awaited" | "assumed"
  readonly writes: ReadonlyArray<Write>
  readonly ending: Ending
  /** How long reading stops, now and then: none, a little, or until there is peace. */
  readonly reader: "quick" | "slow" | "stopped"
}

/** What a probe of a settled world does. */
export const plain: Plan = {
  acceptance: "awaited",
  writes: [{ pause: 0, sizes: [2_000], awaitsDelivery: false, datagrams: [] }],
  ending: "end",
  reader: "quick"
}

/** Mostly small, sometimes of several frames. */
const sizeOf = (dice: Dice, kind: Kind): number => {
  if (dice.chance(0.7)) return dice.between(kind === "bytes" ? 1 : 0, 200)
  return dice.chance(0.85) ? dice.between(200, 4_000) : dice.between(4_000, 40_000)
}

export const make = (dice: Dice, kind: Kind): Plan => {
  // A few send enough to need more than their first window.
  const isBulk = dice.chance(0.06)
  const count = isBulk ? dice.between(3, 9) : dice.chance(0.15) ? 0 : dice.between(1, 8)
  const writes = Array.from({ length: count }, () => ({
    pause: isBulk || dice.chance(0.6) ? 0 : dice.chance(0.8) ? dice.between(1, 300) : dice.between(300, 3_000),
    sizes: isBulk
      ? [dice.between(16_000, 40_000)]
      : Array.from({ length: dice.chance(0.7) ? 1 : dice.between(2, 12) }, () => sizeOf(dice, kind)),
    awaitsDelivery: dice.chance(0.15),
    datagrams: dice.chance(0.2) ? Array.from({ length: dice.between(1, 4) }, () => dice.between(0, 1_000)) : []
  }))
  return {
    acceptance: dice.chance(0.4) ? "assumed" : "awaited",
    writes,
    ending: dice.weighted(
      [
        { weight: 70, ending: "end" },
        { weight: 14, ending: "end in peace" },
        { weight: 9, ending: "reset" },
        { weight: 7, ending: kind === "made" ? "reset" : "leave" }
      ] as const
    ).ending,
    reader: dice.weighted(
      [
        { weight: 80, reader: "quick" },
        { weight: 14, reader: "slow" },
        { weight: 6, reader: "stopped" }
      ] as const
    ).reader
  }
}
