/** What can happen in a world of sessions besides faults. */
import * as Effect from "effect/Effect"
import type { ActionOn } from "./Action.ts"
import { duration, over } from "./actions.ts"
import type { Dice } from "./Dice.ts"
import * as Plans from "./sessionPlans.ts"
import type { KnownPeer } from "./sessionProgram.ts"
import type { Sessions } from "./Sessions.ts"
import type { WatchedLink } from "./watchedLinks.ts"

/** What happens in the world so far. */
export interface SessionActors {
  readonly dice: Dice
  readonly links: ReadonlySet<WatchedLink>
  readonly peers: ReadonlySet<KnownPeer>
  readonly sessions: Sessions
}

const kinds = ["bytes", "messages", "values"] as const

const somePeer = ({ dice, peers, sessions }: SessionActors): KnownPeer | undefined =>
  dice.pick(Array.from(peers).filter(({ relation }) => sessions.isRunning(relation)))

const otherSide = ({ peers }: SessionActors, { relation }: KnownPeer): KnownPeer | undefined =>
  Array.from(peers).find((other) => other.relation.node === relation.peer && other.relation.peer === relation.node)

const open = (dice: Dice, peer: KnownPeer): Effect.Effect<unknown> => {
  const kind = dice.pick(kinds)!
  return peer.open(kind, Plans.make(dice, kind))
}

export const actions: ReadonlyArray<ActionOn<SessionActors>> = [
  {
    name: "open session",
    weight: 24,
    apply: (actors) => {
      const peer = somePeer(actors)
      return peer && Effect.asVoid(open(actors.dice, peer))
    }
  },
  {
    name: "open sessions at both ends",
    weight: 4,
    apply: (actors) => {
      const { dice } = actors
      const peer = somePeer(actors)
      const other = peer && otherSide(actors, peer)
      if (peer === undefined || other === undefined) return undefined
      const both = Array.from({ length: dice.between(2, 6) }, (_, i) => open(dice, i % 2 === 0 ? peer : other))
      return Effect.all(both, { discard: true })
    }
  },
  {
    name: "make sessions",
    weight: 4,
    apply: (actors, world) => {
      const { dice } = actors
      const peer = somePeer(actors)
      if (peer === undefined) return undefined
      const other = otherSide(actors, peer)
      const count = dice.between(1, 4)
      const make = (side: KnownPeer) => side.make(Array.from({ length: count }, () => Plans.make(dice, "made")))
      // The other end makes them at the same time, later, or when there is peace and both count what they have made.
      const then = other === undefined || dice.chance(0.2) ? Effect.void : make(other)
      return Effect.andThen(make(peer), world.later(dice.chance(0.4) ? 0 : dice.between(1, 2_000), then))
    }
  },
  { name: "link torn", weight: 5, apply: ({ dice, links }) => dice.pick(Array.from(links))?.close },
  {
    name: "all links torn",
    weight: 1,
    apply: ({ links }) => Effect.forEach(Array.from(links), (link) => link.close, { discard: true })
  },
  {
    name: "link lags",
    weight: 4,
    apply: ({ dice, links, peers }, world) => {
      const link = dice.pick(Array.from(links))
      if (link === undefined || link.isLagging()) return undefined
      // Often it is replaced meanwhile, and brings what it has when its successor begins, or later.
      const torn = dice.chance(0.7) ? world.later(dice.between(100, 500), link.close) : Effect.void
      const caughtUp = world.later(dice.between(300, 2_500), Effect.sync(link.catchUp))
      const senders = Array.from(peers).filter(({ relation }) =>
        relation.node === link.peer && relation.peer === link.node
      )
      const traffic = Effect.forEach(senders, (sender) => open(dice, sender), { discard: true })
      const lag = Effect.sync(() => link.lag(dice.chance(0.8)))
      return lag.pipe(Effect.andThen(traffic), Effect.andThen(torn), Effect.andThen(caughtUp))
    }
  },
  {
    name: "leave peer",
    weight: 1,
    apply: (actors) => somePeer(actors)?.leave(actors.dice.chance(0.3) ? "not now" : undefined)
  },
  { name: "ping", weight: 2, apply: (actors) => somePeer(actors)?.ping },
  {
    name: "long partition",
    weight: 1,
    apply: (_, world) => {
      const { dice, isLong, network, relays } = world
      const node = dice.pick(world.nodes)!
      const away = isLong ? dice.between(33_000, 40_000) : duration(world)
      return Effect.suspend(() => {
        const heal = network.partition([node.name], relays.map(({ address }) => address))
        world.partitions.add(heal)
        return world.later(away, over(world, "partition healed", heal))
      })
    }
  }
]
