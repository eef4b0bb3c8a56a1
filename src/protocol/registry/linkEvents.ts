/**
 * What the link to one relay reports, as changes of the relay's slots (connection registry protocol, sections 4 to 6). What an earlier link
 * of the same relay still reports is ignored.
 */
import type { PublicKey } from "../../schema/Bytes.ts"
import { toHex } from "../../schema/Bytes.ts"
import type { RelayLinkEvents } from "../relay/RelayLink.ts"
import type { ReplyRoute } from "./PeerPath.ts"
import type { PeerSlots, Slot } from "./PeerSlots.ts"
import { isUntested, type RelayEntry } from "./RelayEntry.ts"
import type { TableHost } from "./TableHost.ts"

/** The part of the table that its links report to. */
export interface LinkDesk {
  readonly host: TableHost
  readonly slotOf: (entry: RelayEntry, key: Uint8Array) => Slot | undefined
  /** Asks the slot's relay for its peer. */
  readonly request: (slot: Slot) => void
  readonly refuse: (slot: Slot) => void
  readonly lose: (entry: RelayEntry) => void
  readonly nextCarrier: () => number
}

export const linkEvents = (entry: RelayEntry, desk: LinkDesk): RelayLinkEvents => {
  const { host } = desk
  return {
    onConfirmed: (link) => {
      if (entry.intent !== "up") return
      entry.link = link
      entry.isProven = true
      host.onRelay(entry.relay, true)
      for (const slot of entry.slots) desk.request(slot)
      // An unused relay needs no time for peers to appear.
      if (entry.slots.size > 0) entry.graceUntil = host.now() + host.numbers.announceTimeout
      host.onChange()
    },
    onRouteResponse: (link, connectionId, key) => {
      if (link !== entry.link) return
      entry.requested.delete(toHex(key))
      const slot = desk.slotOf(entry, key)
      if (connectionId === 0) {
        if (slot !== undefined) desk.refuse(slot)
      } else if (slot === undefined) link.disconnect(connectionId)
      else {
        slot.status = "registered"
        slot.connectionId = connectionId
        entry.byId[connectionId] = slot
        slot.peer.onRegistered()
      }
    },
    onPeerOnline: (link, connectionId) => {
      const slot = link === entry.link ? entry.byId[connectionId] : undefined
      if (slot === undefined || slot.status === "online") return
      slot.status = "online"
      slot.carrier = desk.nextCarrier()
      host.onPeer(slot.peer.key, entry.relay, true)
      slot.peer.onOnline(slot)
      host.onChange()
    },
    onPeerOffline: (link, connectionId) => {
      const slot = link === entry.link ? entry.byId[connectionId] : undefined
      if (slot === undefined || slot.status !== "online") return
      slot.status = "registered"
      host.onPeer(slot.peer.key, entry.relay, false)
      allowIdle(slot.peer)
      slot.peer.onOffline(slot)
      host.onChange()
    },
    onData: (link, connectionId, bytes) => {
      const slot = link === entry.link ? entry.byId[connectionId] : undefined
      if (slot !== undefined) slot.peer.events.onPacket(bytes, slot.route)
    },
    onOob: (link, sender, bytes) => {
      if (link !== entry.link) return
      const slot = desk.slotOf(entry, sender)
      if (slot !== undefined) return slot.peer.events.onPacket(bytes, { ...slot.route, outOfBand: true })
      host.onOob(sender, bytes, { ...replyThrough(entry, sender.slice() as PublicKey), outOfBand: true })
    },
    onOnion: (_, bytes) => host.onOnion(entry.relay, bytes),
    onForwarded: (_, bytes) => host.onForwarded(entry.relay, bytes),
    onWritable: () => {
      for (const slot of entry.slots) slot.peer.onWritable(slot)
    },
    onBatchEnd: () => host.onBatchEnd(),
    onLost: (link) => {
      if (link !== entry.link) return
      // What it had no room for it may have room for when it returns; not so when it is we who left.
      if (entry.intent === "up") entry.refused.clear()
      desk.lose(entry)
    }
  }
}

/** A peer that was here a moment ago may be where we left it: then idle relays need not wait. */
export const allowIdle = (peer: PeerSlots): void => {
  if (peer.onlineCount > 0) return
  for (const { entry } of peer.slots) if (!isUntested(entry)) entry.idleUntil = -Infinity
}

/** The way back to a peer through a relay. The relay's address may change; the route names the present one. */
export const replyThrough = (entry: RelayEntry, peer: PublicKey): ReplyRoute => ({
  get relay() {
    return entry.relay
  },
  reply: (packet) => entry.link?.sendOob(peer, packet) ?? false
})
