/** Worlds whose nodes speak net_crypto itself: packets over connections, judged by `Streams`. */
import * as Effect from "effect/Effect"
import type { NetCryptoNumbers } from "../../services/NetCryptoSettings.ts"
import { type ActionOn, on } from "./Action.ts"
import { duration } from "./actions.ts"
import * as PacketProgram from "./packetProgram.ts"
import { maxSize } from "./Payload.ts"
import type { SimulatedNode } from "./SimulatedNode.ts"
import { type End, Streams } from "./Streams.ts"
import type { Trace } from "./Trace.ts"
import type { Pair, Traffic } from "./Traffic.ts"
import type { WorldBasis } from "./World.ts"

export const make = (basis: WorldBasis, budget: NetCryptoNumbers): Traffic => {
  const { isLong, isRunning, nameOf, trace, violate } = basis
  const streams = new Streams({ trace, budget, mayTimeOut: isLong, isRunning, violate })
  const probed = new Set<End>()
  const openEnds = () => streams.ends.filter((end) => end.ended === undefined)
  const endOf = (node: SimulatedNode, peer: SimulatedNode): End | undefined =>
    node.isUp()
      ? openEnds().find((end) =>
        end.node === node.name && end.peer === peer.name && end.incarnation === node.incarnation()
      )
      : undefined
  const endsOf = ({ a, b }: Pair) => [endOf(a, b), endOf(b, a)] as const

  return {
    actions: on({ streams, trace, openEnds }, actions),
    start: (machine) => PacketProgram.start({ streams, trace, nameOf }, machine),
    endsSlowly: false,
    connected: openEnds,
    checkBudget: () => streams.checkBudget(),
    release: () => {
      for (const end of streams.ends) release(trace, end)
    },
    isWell: (pair) =>
      Effect.sync(() => {
        const [there, back] = endsOf(pair)
        for (const end of [there, back]) {
          if (end === undefined || probed.has(end)) continue
          probed.add(end)
          streams.send(end, [200, 1_300, 20])
        }
        if (there === undefined || back === undefined) return false
        if (there.receiver !== back || back.receiver !== there) return false
        return isDelivered(there) && isDelivered(back)
      }),
    describe: (pair) =>
      endsOf(pair).map((end) =>
        end === undefined
          ? "no connection"
          : `#${end.stream} ${end.accepted.length} accepted, ${end.receiver?.received ?? 0} arrived`
      ).join("; "),
    checkSettled: () => streams.checkDelivered(),
    checkEnded: () => {
      for (const end of openEnds()) violate(`I2 #${end.stream} was closed and not told so`)
    }
  }
}

const isDelivered = (end: End): boolean => end.backlog.length === 0 && end.accepted.length === end.receiver?.received

/** Lets a held receiver go on, unless it is over. */
const release = (trace: Trace, end: End): void => {
  if (!end.isHeld) return
  end.isHeld = false
  if (end.ended !== undefined) return
  trace.count("released")
  end.connection.hold(false)
}

interface Actors {
  readonly streams: Streams
  readonly trace: Trace
  readonly openEnds: () => ReadonlyArray<End>
}

export const actions: ReadonlyArray<ActionOn<Actors>> = [
  {
    name: "send",
    weight: 30,
    apply: ({ openEnds, streams }, { dice }) => {
      const end = dice.pick(openEnds())
      if (end === undefined) return undefined
      const sizes = Array.from(
        { length: dice.chance(0.8) ? dice.between(1, 20) : dice.between(20, 120) },
        () => dice.chance(0.5) ? dice.between(1, 100) : dice.between(100, maxSize)
      )
      return Effect.sync(() => streams.send(end, sizes))
    }
  },
  {
    name: "send lossy",
    weight: 8,
    apply: ({ openEnds, streams }, { dice }) => {
      const end = dice.pick(openEnds())
      if (end === undefined) return undefined
      return Effect.sync(() => {
        for (let i = dice.between(1, 12); i > 0; i--) streams.sendLossy(end, dice.between(1, maxSize))
      })
    }
  },
  {
    name: "hold",
    weight: 3,
    apply: ({ openEnds, trace }, world) => {
      const end = world.dice.pick(openEnds())
      if (end === undefined || end.isHeld) return undefined
      return Effect.suspend(() => {
        end.isHeld = true
        end.connection.hold(true)
        return world.later(duration(world), Effect.sync(() => release(trace, end)))
      })
    }
  },
  {
    name: "close connection",
    weight: 1,
    apply: ({ openEnds }, { dice }) => {
      const end = dice.pick(openEnds())
      if (end === undefined) return undefined
      return Effect.suspend(() => {
        end.isClosing = true
        return end.connection.close
      })
    }
  }
]
