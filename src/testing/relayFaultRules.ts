/** Which fault holds for which direction. Keys are text, times milliseconds. It decides nothing by chance. */
import * as Duration from "effect/Duration"
import { toHex } from "../schema/Bytes.ts"
import type { RelayFault, RelayFaultDirection } from "./RelayFaults.ts"

/** A fault with its durations as milliseconds. */
export interface RelayFaultRule extends Omit<RelayFault, "delay" | "reorderBy"> {
  readonly delay: number
  readonly reorderBy: number
}

const none: RelayFaultRule = {
  drop: 0,
  duplicate: 0,
  reorder: 0,
  reorderBy: 10,
  delay: 0,
  claimOnline: false,
  hideOnline: false,
  hideOffline: false
}

/** Stands for every key. */
const everybody = "*"

export class RelayFaultRules {
  readonly #rules = new Map<string, RelayFaultRule>()

  set({ from, to }: RelayFaultDirection, change: Partial<RelayFault>): void {
    const direction = directionOf(from && toHex(from), to && toHex(to))
    const { delay, reorderBy, ...rest } = change
    this.#rules.set(direction, {
      ...(this.#rules.get(direction) ?? none),
      ...rest,
      ...(delay === undefined ? {} : { delay: Duration.toMillis(delay) }),
      ...(reorderBy === undefined ? {} : { reorderBy: Duration.toMillis(reorderBy) })
    })
  }

  clear(): void {
    this.#rules.clear()
  }

  /** The narrowest rule; undefined: no fault. */
  find(from: string, to: string): RelayFaultRule | undefined {
    if (this.#rules.size === 0) return undefined
    return this.#rules.get(directionOf(from, to)) ?? this.#rules.get(directionOf(from, undefined)) ??
      this.#rules.get(directionOf(undefined, to)) ?? this.#rules.get(directionOf(undefined, undefined))
  }
}

const directionOf = (from: string | undefined, to: string | undefined): string =>
  `${from ?? everybody} ${to ?? everybody}`
