/**
 * What a simulated node with sessions has below them: its net_crypto, of which every connection can be torn or slowed down, and on which
 * every frame is counted (`FrameCounts`).
 */
import * as Effect from "effect/Effect"
import { toHex } from "../../schema/Bytes.ts"
import type { NetCrypto, NetCryptoConnection, NetCryptoHandlers } from "../../services/NetCrypto.ts"
import type { NetCryptoError } from "../../services/NetCryptoError.ts"
import { FrameCounts } from "./FrameCounts.ts"
import type { Trace } from "./Trace.ts"

/** A connection of a node. */
export interface WatchedLink {
  readonly node: string
  readonly peer: string
  /** Ends it, as an application below the sessions would: both sides learn of it. */
  readonly close: Effect.Effect<void>
  /**
   * Nothing that arrives is handed on any more, not even the end, until it catches up: as if it came by a longer way. It does so by itself,
   * if it is told to, as soon as the sessions resume on another link.
   */
  readonly lag: (untilReplaced: boolean) => void
  /** What has arrived is handed on. */
  readonly catchUp: () => void
  readonly isLagging: () => boolean
}

export interface WatchedLinksOptions {
  readonly node: string
  readonly nameOf: (identity: string) => string
  readonly trace: Trace
  /** Links that are up, to which its own are added. */
  readonly links: Set<WatchedLink>
  /** How many sessions of `makeSessions` there are with a peer. */
  readonly made: (peer: string) => number
}

export const watch = (netCrypto: NetCrypto["Service"], options: WatchedLinksOptions): NetCrypto["Service"] => {
  const frames = new FrameCounts(options.trace, options.node)
  // Links that catch up when they are replaced.
  const replaceable = new Set<WatchedLink>()
  const known = new WeakMap<NetCryptoConnection, NetCryptoConnection>()
  const watched = (connection: NetCryptoConnection): NetCryptoConnection => {
    const before = known.get(connection)
    if (before !== undefined) return before
    const made = watchOne(connection, frames, replaceable, options)
    known.set(connection, made)
    return made
  }
  return {
    connect: (peer) => Effect.map(netCrypto.connect(peer), watched),
    accept: Effect.map(netCrypto.accept, watched),
    setAcceptPolicy: netCrypto.setAcceptPolicy
  }
}

const watchOne = (
  connection: NetCryptoConnection,
  frames: FrameCounts,
  replaceable: Set<WatchedLink>,
  { links, made, nameOf, node, trace }: WatchedLinksOptions
): NetCryptoConnection => {
  const peer = nameOf(toHex(connection.identityKey))
  const onResumed = (): void => {
    // Not in the middle of sending.
    for (const earlier of replaceable) if (earlier.peer === peer && earlier !== link) queueMicrotask(earlier.catchUp)
  }
  const counts = frames.link({ made: () => made(peer), onResumed })
  let handlers: NetCryptoHandlers | undefined
  let isLagging = false
  let waiting: Array<Uint8Array> = []
  let ended: NetCryptoError | undefined
  const deliver = (packet: Uint8Array): void => {
    counts.onReceived(packet)
    handlers?.onLossless(packet)
  }
  const link: WatchedLink = {
    node,
    peer,
    close: connection.close,
    lag: (untilReplaced) => {
      isLagging = true
      if (untilReplaced) replaceable.add(link)
    },
    catchUp: () => {
      if (!isLagging) return
      isLagging = false
      replaceable.delete(link)
      const late = waiting
      waiting = []
      for (const packet of late) deliver(packet)
      if (ended !== undefined) handlers?.onClosed(ended)
    },
    isLagging: () => isLagging
  }
  links.add(link)
  trace.count("link made", `${node} ${peer}`)
  return {
    identityKey: connection.identityKey,
    dhtKey: connection.dhtKey,
    trySend: (packet) => {
      if (!connection.trySend(packet)) return false
      counts.onSent(packet)
      return true
    },
    sendAll: connection.sendAll.bind(connection),
    sendLossy: (packet) => connection.sendLossy(packet),
    get drained() {
      return connection.drained
    },
    handle: (given) => {
      handlers = given
      connection.handle({
        ...given,
        onLossless: (packet) => {
          if (isLagging) waiting.push(packet)
          else deliver(packet)
        },
        onWoken: (by) => {
          trace.count(`relays woken by ${by}`, `${node} ${peer}`)
          given.onWoken?.(by)
        },
        onClosed: (error) => {
          trace.count(`link ended ${error.reason._tag}`, `${node} ${peer}`)
          links.delete(link)
          if (isLagging) ended = error
          else given.onClosed(error)
        }
      })
    },
    hold: (held) => connection.hold(held),
    get closed() {
      return connection.closed
    },
    close: connection.close,
    stats: () => connection.stats(),
    paths: () => connection.paths(),
    // Whoever is told that there is no connection any more would ask the next one, which is not known while this one lags.
    probe: Effect.suspend(() => ended === undefined ? connection.probe : Effect.never),
    park: (keptRelays) => {
      const isParked = connection.park(keptRelays)
      if (isParked) trace.count("relays parked", `${node} ${peer}`)
      return isParked
    },
    wake: () => connection.wake(),
    parked: () => connection.parked(),
    nextPacketNumber: () => connection.nextPacketNumber()
  }
}
