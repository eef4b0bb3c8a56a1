/**
 * What the ways of the network inside the process are like: conditions of addresses, of single machines, and partitions. It moves no
 * bytes; streams and dials ask it, and are told when something has changed.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { LinkConditions, MemoryAddress, MemoryDirection, MemoryNetwork } from "./MemoryNetwork.ts"

/** The way between one machine and one address. Everything is asked anew for each piece. */
export interface MemoryRoute {
  /** What a piece takes that leaves now: the latency and a random share of the jitter. */
  readonly delayNanos: () => bigint
  readonly isFrozen: (direction: MemoryDirection) => boolean
  /** Waits until this direction is open. */
  readonly passable: (direction: MemoryDirection) => Effect.Effect<void>
}

export interface MemoryConditions {
  readonly routeOf: (machine: string, address: MemoryAddress) => MemoryRoute
  readonly change: MemoryNetwork["Service"]["conditions"]
  readonly partition: MemoryNetwork["Service"]["partition"]
}

interface Known {
  latency?: Duration.Duration
  jitter?: Duration.Duration
  frozen?: boolean | MemoryDirection
}

interface Partition {
  readonly machines: ReadonlySet<string>
  readonly addresses: ReadonlySet<string>
}

export const keyOf = (address: MemoryAddress): string => `${address.host}:${address.port}`

/** A quarter of a millisecond: pieces that are late by fractions of it would only cost more turns of the clock. */
const jitterStep = 250_000n

/** `fraction` gives the jitter; `onChange` lets the streams look again. */
export const make = (fraction: () => number, onChange: () => void): MemoryConditions => {
  const known = new Map<string, Known>()
  const partitions = new Set<Partition>()
  const waiting = new Set<() => void>()

  const changed = () => {
    onChange()
    for (const look of Array.from(waiting)) look()
  }
  const at = (key: string): Known => {
    let conditions = known.get(key)
    if (conditions === undefined) known.set(key, conditions = {})
    return conditions
  }
  const ofMachine = (machine: string, address: MemoryAddress) => `${machine} ${keyOf(address)}`

  return {
    routeOf: (machine, address) => {
      const key = keyOf(address)
      const ways = [at(ofMachine(machine, address)), at(key)] as const
      const holds = (frozen: boolean | MemoryDirection | undefined, direction: MemoryDirection) =>
        frozen === true || frozen === direction
      const isFrozen = (direction: MemoryDirection): boolean => {
        if (holds(ways[0].frozen, direction) || holds(ways[1].frozen, direction)) return true
        for (const { addresses, machines } of partitions) if (machines.has(machine) && addresses.has(key)) return true
        return false
      }
      return {
        delayNanos: () => {
          const latency = Duration.toNanosUnsafe(ways[0].latency ?? ways[1].latency ?? Duration.zero)
          const jitter = ways[0].jitter ?? ways[1].jitter ?? Duration.zero
          if (Duration.isZero(jitter)) return latency
          return latency + BigInt(Math.floor(Duration.toMillis(jitter) * 4 * fraction())) * jitterStep
        },
        isFrozen,
        passable: (direction) =>
          Effect.suspend(() => {
            if (!isFrozen(direction)) return Effect.void
            return Effect.callback<void>((resume) => {
              const look = () => {
                if (isFrozen(direction)) return
                waiting.delete(look)
                resume(Effect.void)
              }
              waiting.add(look)
              return Effect.sync(() => waiting.delete(look))
            })
          })
      }
    },
    change: (address: MemoryAddress, change: Partial<LinkConditions>, machine?: string) => {
      const conditions = at(machine === undefined ? keyOf(address) : ofMachine(machine, address))
      if (change.latency !== undefined) conditions.latency = Duration.fromInputUnsafe(change.latency)
      if (change.jitter !== undefined) conditions.jitter = Duration.fromInputUnsafe(change.jitter)
      if (change.frozen === undefined) return
      conditions.frozen = change.frozen
      changed()
    },
    partition: (machines, addresses) => {
      const partition = { machines: new Set(machines), addresses: new Set(Array.from(addresses, keyOf)) }
      partitions.add(partition)
      return () => {
        if (partitions.delete(partition)) changed()
      }
    }
  }
}
