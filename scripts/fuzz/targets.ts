/** What can be fuzzed, by name. A target is loaded when it is asked for, so that one that does not load leaves the others alone. */
import type { Dice } from "../../src/testing/simulation/Dice.ts"

export interface Verdict {
  /** Whether the input was found bad, as most have to be. */
  readonly refused: boolean
  /** What is wrong with our code. */
  readonly wrong: string | undefined
}

export interface Target {
  readonly generate: (dice: Dice) => Uint8Array
  /** The same verdict for the same bytes. An exception counts as wrong. */
  readonly judge: (bytes: Uint8Array) => Verdict
}

export const loadTarget = {
  values: async (): Promise<Target> => (await import("./values.ts")).target,
  frames: async (): Promise<Target> => (await import("./frames.ts")).target,
  mux: async (): Promise<Target> => (await import("./mux.ts")).target
}
export type TargetName = keyof typeof loadTarget
