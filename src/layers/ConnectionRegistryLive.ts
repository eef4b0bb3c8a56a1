/**
 * The connection registry over real relay clients: one fiber per relay in a `FiberMap`, and the plain `ConnectionTable` that their links
 * report to. Nothing here runs per packet.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FiberMap from "effect/FiberMap"
import * as FiberSet from "effect/FiberSet"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { ConnectionTable } from "../protocol/registry/ConnectionTable.ts"
import { EventBacklog } from "../protocol/registry/EventBacklog.ts"
import type { RelayEntry } from "../protocol/registry/RelayEntry.ts"
import type { RelayLinkEvents } from "../protocol/relay/RelayLink.ts"
import { type PublicKey, toHex } from "../schema/Bytes.ts"
import type { RelayAddress } from "../schema/RelayAddress.ts"
import {
  ConnectionRegistry,
  type OobHandler,
  type RegistryEvent,
  type RelayStatus
} from "../services/ConnectionRegistry.ts"
import { validRegistrySettings } from "../services/RegistrySettings.ts"
import { RelayClient, type RelayState } from "../services/RelayClient.ts"
import { monotonicMillis } from "./monotonicMillis.ts"

/** Events that wait for one reader, and those of strangers among them. */
const eventBacklog = 256
const foreignBacklog = 64

interface Reader {
  readonly backlog: EventBacklog<RegistryEvent>
  readonly filled: Latch.Latch
}

/** The registry with no relays at first; its scope ends all connections to relays. Fails when a setting is out of its range. */
export const layer = Layer.effect(
  ConnectionRegistry,
  Effect.gen(function*() {
    const numbers = yield* validRegistrySettings
    const client = yield* RelayClient
    const now = monotonicMillis(yield* Clock.Clock)
    // Released after the relays, so that their losses are reported before the stream ends.
    const closed = yield* Effect.acquireRelease(Effect.sync(() => Latch.makeUnsafe(false)), (latch) => latch.open)
    const fibers = yield* FiberMap.make<string>()
    const run = yield* FiberMap.runtime(fibers)<never>()
    const stops = yield* FiberSet.make<void>()
    const runStop = yield* FiberSet.runtime(stops)<never>()
    const confirmed = Latch.makeUnsafe(false)
    const changed = Latch.makeUnsafe(false)
    /**
     * What the fiber of each relay was last heard to be doing, by the very address that the table holds: it goes when the relay does. A
     * fiber that is being interrupted writes into one that nobody reads.
     */
    const states = new WeakMap<RelayAddress, { state: RelayState }>()
    const readers = new Set<Reader>()
    const watchers = new Set<Latch.Latch>()
    let missedEvents = 0
    let onOob: OobHandler = () => {}
    let onBatchEnd: () => void = () => {}
    const publish = (event: RegistryEvent): void => {
      for (const { backlog, filled } of readers) {
        if (backlog.push(event, event._tag === "OnionResponse" || event._tag === "Forwarded")) missedEvents++
        filled.openUnsafe()
      }
    }
    const stateChanged = (): void => {
      for (const watcher of watchers) watcher.openUnsafe()
    }
    const read = Effect.fnUntraced(function*({ backlog, filled }: Reader) {
      yield* filled.await
      filled.closeUnsafe()
      return backlog.takeAll()
    })
    const events = Stream.unwrap(
      Effect.acquireRelease(
        Effect.sync(() => {
          const reader: Reader = {
            backlog: new EventBacklog(eventBacklog, foreignBacklog),
            filled: Latch.makeUnsafe(false)
          }
          readers.add(reader)
          return reader
        }),
        (reader) => Effect.sync(() => readers.delete(reader))
      ).pipe(Effect.map((reader) => Stream.fromIterableEffectRepeat(read(reader))))
    )
    const watch = Effect.fnUntraced(function*(watcher: Latch.Latch) {
      yield* watcher.await
      watcher.closeUnsafe()
    })
    const relayChanges = Stream.unwrap(
      Effect.acquireRelease(
        Effect.sync(() => {
          const watcher = Latch.makeUnsafe(false)
          watchers.add(watcher)
          return watcher
        }),
        (watcher) => Effect.sync(() => watchers.delete(watcher))
      ).pipe(Effect.map((watcher) => Stream.fromEffectRepeat(watch(watcher))))
    )

    const maintain = (relay: RelayAddress, link: RelayLinkEvents): void => {
      const id = toHex(relay.publicKey)
      const held: { state: RelayState } = { state: { _tag: "Connecting" } }
      states.set(relay, held)
      stateChanged()
      const onState = (state: RelayState): void => {
        held.state = state
        stateChanged()
        if (state._tag === "Failed" && !state.error.wasConfirmed) table.dialFailed(relay)
      }
      run(
        id,
        client.maintain(relay, link, onState).pipe(
          Effect.tapDefect((defect) => Effect.logError("A relay's fiber died", defect))
        )
      )
    }

    const table = new ConnectionTable({
      numbers,
      now,
      onStart: maintain,
      onStop: (relay) => {
        const id = toHex(relay.publicKey)
        states.delete(relay)
        stateChanged()
        runStop(FiberMap.remove(fibers, id))
      },
      onChange: () => changed.openUnsafe(),
      onOob: (sender, bytes, route) => onOob(sender, bytes, route),
      onBatchEnd: () => onBatchEnd(),
      onRelay: (relay, isConnected) => {
        if (isConnected) confirmed.openUnsafe()
        else if (![...table.relays].some((entry) => entry.link !== undefined)) confirmed.closeUnsafe()
        publish({ _tag: isConnected ? "RelayConnected" : "RelayLost", relay })
      },
      onPeer: (peer, relay, isOnline) => publish({ _tag: isOnline ? "PeerOnline" : "PeerOffline", peer, relay }),
      onCarrier: (peer, relay) => publish({ _tag: "CarrierChanged", peer, relay }),
      onOnion: (relay, bytes) => publish({ _tag: "OnionResponse", relay, bytes: bytes.slice() }),
      onForwarded: (relay, bytes) => publish({ _tag: "Forwarded", relay, bytes: bytes.slice() })
    })

    // One look at the relays for any number of changes, and one when time alone changes the picture.
    yield* Effect.gen(function*() {
      while (true) {
        const wait = table.tend() - now()
        yield* wait === Infinity ? changed.await : Effect.raceFirst(Effect.sleep(Math.max(1, wait)), changed.await)
        changed.closeUnsafe()
        yield* Effect.yieldNow
      }
    }).pipe(Effect.forkScoped)

    const status = (entry: RelayEntry): RelayStatus => ({
      relay: entry.relay,
      state: states.get(entry.relay)?.state ?? { _tag: "Sleeping" },
      isOnion: entry.isOnion,
      tied: entry.slots.size,
      online: [...entry.slots].filter((slot) => slot.status === "online").length,
      sentBytes: entry.sentBytes
    })

    return ConnectionRegistry.of({
      addRelay: Effect.fn("ConnectionRegistry.addRelay")(function*(relay: RelayAddress) {
        table.addRelay(relay)
      }),
      setOnion: Effect.fn("ConnectionRegistry.setOnion")(function*(wanted: boolean) {
        table.setOnion(wanted)
      }),
      addPeerRelays: Effect.fn("ConnectionRegistry.addPeerRelays")(
        function*(peer: PublicKey, relays: ReadonlyArray<RelayAddress>) {
          table.addPeerRelays(peer, relays)
        }
      ),
      openPeer: (peer, handlers, before) => table.openPeer(peer, handlers, before),
      attach: (oob, batchEnd) => {
        onOob = oob
        onBatchEnd = batchEnd
      },
      relays: Effect.sync(() => [...table.relays].map(status)),
      counts: Effect.sync(() => ({ refusedRelays: table.refusedRelays, missedEvents })),
      relayChanges: Stream.interruptWhen(relayChanges, closed.await),
      events: events.pipe(Stream.interruptWhen(closed.await)),
      awaitRelay: confirmed.await
    })
  })
)
