/** One thing that can happen in a simulated world. */
import type * as Effect from "effect/Effect"
import type { World } from "./World.ts"

export interface Action {
  readonly name: string
  /** How often it happens, in comparison with others. */
  readonly weight: number
  /** Chooses by the dice, and arranges its end as well. Undefined where it does not apply. */
  readonly apply: (world: World) => Effect.Effect<void> | undefined
}

/** One that needs to know what happens in the world so far. */
export interface ActionOn<A> {
  readonly name: string
  readonly weight: number
  readonly apply: (actors: A, world: World) => Effect.Effect<void> | undefined
}

export const on = <A>(actors: A, actions: ReadonlyArray<ActionOn<A>>): ReadonlyArray<Action> =>
  actions.map(({ apply, name, weight }) => ({ name, weight, apply: (world) => apply(actors, world) }))
