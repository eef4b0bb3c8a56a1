/**
 * What the programs on the nodes of a simulated world do with each other, and what must hold for it. There are worlds whose nodes speak
 * net_crypto itself (`packetTraffic.ts`), and worlds of peers with sessions (`sessionTraffic.ts`). Types only.
 */
import type * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Entropy } from "../../services/Entropy.ts"
import type { Identity } from "../../services/Identity.ts"
import type { NetCrypto } from "../../services/NetCrypto.ts"
import type { ToxCrypto } from "../../services/ToxCrypto.ts"
import type { MemoryAddress } from "../MemoryNetwork.ts"
import type { Action } from "./Action.ts"
import type { SimulatedNode } from "./SimulatedNode.ts"

/** Two nodes that should always be connected. */
export interface Pair {
  readonly a: SimulatedNode
  readonly b: SimulatedNode
}

/** A node that runs, as its program sees it. */
export interface Machine {
  readonly name: string
  readonly incarnation: number
  /** Whom it calls. */
  readonly callees: ReadonlySet<SimulatedNode>
  readonly context: Context.Context<NetCrypto | Entropy | Identity | ToxCrypto>
  /** Where it may listen for direct links, on a machine of the network of its own. */
  readonly directAddress: MemoryAddress
}

/** A program that runs on a node. */
export interface RunningProgram {
  /** Closes everything it has with peers, and calls nobody any more. */
  readonly sayGoodbye: Effect.Effect<void>
}

/** A connection that is up, by the names of its ends. */
export interface Connected {
  readonly node: string
  readonly peer: string
}

export interface Traffic {
  /** What can happen in it besides faults. */
  readonly actions: ReadonlyArray<Action>
  /** Starts the program of a node. It ends with the scope. */
  readonly start: (machine: Machine) => Effect.Effect<RunningProgram, never, Scope.Scope>
  /** Whether the program of a node takes a while to end, and must have ended before it starts again. */
  readonly endsSlowly: boolean
  readonly connected: () => ReadonlyArray<Connected>
  /** I3: what is kept anywhere is within its limits. */
  readonly checkBudget: () => void
  /** There is peace: nothing is held back any more, and what has begun goes on to its end. */
  readonly release: () => void
  /** Whether the two can reach each other, and everything between them has arrived. The first look may send something. */
  readonly isWell: (pair: Pair) => Effect.Effect<boolean>
  /** The state of a pair that is not well. */
  readonly describe: (pair: Pair) => string
  /** I2, when there has been peace for long enough. */
  readonly checkSettled: () => void
  /** I2, after all have said goodbye. */
  readonly checkEnded: () => void
}
