/** What happens to the link while the sessions run: its relays are killed and come back, and it is torn down as a whole. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { once } from "node:events"
import * as Net from "node:net"
import { formatRelayAddress, parseRelayAddress, type RelayAddress } from "../../src/schema/RelayAddress.ts"
import type { Dice } from "../../src/testing/simulation/Dice.ts"
import * as Processes from "../../test/utils/processes.ts"
import type { End } from "./nodes.ts"

export interface Relay {
  readonly address: RelayAddress
  readonly process: Processes.RelayProcess
  isUp: boolean
}

/** Ports below those of outgoing connections: one that is dialled while nobody listens must not be taken by the dial itself. */
const ports = { first: 20_000, last: 32_000 }

const isFree = async (port: number): Promise<boolean> => {
  const server = Net.createServer()
  server.listen(port, "127.0.0.1")
  const free = await Promise.race([once(server, "listening").then(() => true), once(server, "error").then(() => false)])
    .catch(() => false)
  if (free) await new Promise((closed) => server.close(closed))
  return free
}

/** Starts relays in processes of their own, on ports that stay free for them while they are dead. */
export const startRelays = Effect.fnUntraced(function*(count: number, dice: Dice) {
  const relays: Array<Relay> = []
  while (relays.length < count) {
    const port = dice.between(ports.first, ports.last)
    if (!(yield* Effect.promise(() => isFree(port)))) continue
    const process = yield* Processes.relay("ours", port)
    relays.push({ process, address: Result.getOrThrow(parseRelayAddress(process.address)), isUp: true })
  }
  return relays
})

/** What was done. */
export interface Done {
  kills: number
  tears: number
}

/** How often it is looked whether a link is up, milliseconds. */
const look = 10

/**
 * Kills the relay that carries what one end or the other sends, and starts it again, every `interval` milliseconds; a relay that only then
 * begins to carry dies at once. A start outlives the killing.
 */
export const killCarriers = Effect.fnUntraced(function*(
  ends: ReadonlyArray<End>,
  relays: ReadonlyArray<Relay>,
  interval: number,
  elapsed: () => number,
  done: Done
) {
  const carrierOf = (end: End | undefined): Relay | undefined => {
    const carrier = end?.carrier()
    const name = carrier && formatRelayAddress(carrier)
    return relays.find(({ address, isUp }) => isUp && formatRelayAddress(address) === name)
  }
  while (true) {
    yield* Effect.sleep(Math.max(look, (done.kills + 1) * interval - elapsed()))
    const relay = carrierOf(ends[done.kills % ends.length])
    if (relay === undefined) continue
    relay.isUp = false
    done.kills++
    const again = Effect.andThen(relay.process.kill, relay.process.restart).pipe(
      Effect.tap(() => Effect.sync(() => void (relay.isUp = true)))
    )
    yield* Effect.forkScoped(again)
  }
})

/** Tears the link down `count` times in so many milliseconds, from one end or the other. */
export const tearLinks = Effect.fnUntraced(function*(
  ends: ReadonlyArray<End>,
  count: number,
  milliseconds: number,
  dice: Dice,
  done: Done
) {
  while (done.tears < count) {
    yield* Effect.sleep(milliseconds / (count + 1))
    // One that is being rebuilt is waited for.
    while (!(yield* dice.pick(ends)?.tear ?? Effect.succeed(false))) yield* Effect.sleep(look)
    done.tears++
  }
})
