/**
 * Mistakes that the simulation must find. Each replaces a method of the library in this process alone, from outside; there is no switch for
 * it in the library. A feature whose failure the simulation should notice gets a row here.
 */
import { CryptoPeer } from "../../src/protocol/net-crypto/CryptoPeer.ts"
import { ReceiveWindow } from "../../src/protocol/net-crypto/ReceiveWindow.ts"
import { ReplayWindow } from "../../src/protocol/net-crypto/ReplayWindow.ts"
import { SendWindow } from "../../src/protocol/net-crypto/SendWindow.ts"
import { ConnectionTable } from "../../src/protocol/registry/ConnectionTable.ts"
import { PeerSlots, type Slot } from "../../src/protocol/registry/PeerSlots.ts"
import { plantedSessionBugs } from "./plantedSessionBugs.ts"

/** Plants a mistake for the rest of the process. */
export const plantedBugs: Readonly<Record<string, () => void>> = {
  /** One lost packet in eight is never sent again. */
  "lost-resend": () => {
    const { markMissing } = SendWindow.prototype
    SendWindow.prototype.markMissing = function(number, notAfter) {
      return number % 8 !== 3 && markMissing.call(this, number, notAfter)
    }
    SendWindow.prototype.markLost = () => undefined
  },
  /** Some packets that waited for an earlier one are handed over twice. */
  "double-delivery": () => {
    const { take } = ReceiveWindow.prototype
    const doubled = new WeakSet<Uint8Array>()
    ReceiveWindow.prototype.take = function() {
      const number = this.start
      const payload = take.call(this)
      if (payload === undefined || number % 16 !== 7 || doubled.has(payload)) return payload
      doubled.add(payload)
      this.start = number
      this.store(number, payload)
      return payload
    }
  },
  /** A relay stays tied to a peer whose path has been closed. */
  "leaked-lock": () => {
    const { openPeer } = ConnectionTable.prototype
    ConnectionTable.prototype.openPeer = function(key, events) {
      const path = openPeer.call(this, key, events)
      let isClosed = false
      return {
        ...path,
        peer: path.peer,
        get isAsleep() {
          return path.isAsleep
        },
        close: () => {
          const held = Array.from(this.relays).flatMap((entry) =>
            Array.from(entry.slots).filter((slot) => slot.peer === path).map((slot) => ({ entry, slot }))
          )
          path.close()
          const leak = held.at(-1)
          if (leak !== undefined && !isClosed) leak.entry.slots.add(leak.slot)
          isClosed = true
        }
      }
    }
  },
  /** The relays that were left while a peer slept count as connected again when it wakes, and are not dialled. */
  "stuck-sleep": () => {
    const { openPeer } = ConnectionTable.prototype
    ConnectionTable.prototype.openPeer = function(key, events) {
      const path = openPeer.call(this, key, events)
      const { wake } = path
      return Object.assign(path, {
        wake: () => {
          for (const { entry } of path instanceof PeerSlots ? path.slots : []) {
            if (entry.intent === "asleep") entry.intent = "up"
          }
          wake()
        }
      })
    }
  },
  /** The peers that share a relay with one that falls asleep lose it as well. */
  "careless-sleep": () => {
    const { openPeer } = ConnectionTable.prototype
    ConnectionTable.prototype.openPeer = function(key, events) {
      const path = openPeer.call(this, key, events)
      const { sleep } = path
      return Object.assign(path, {
        sleep: () => {
          for (const { entry } of path instanceof PeerSlots ? path.slots : []) {
            for (const slot of entry.slots) {
              if (slot.peer === path || slot.status !== "online") continue
              slot.status = "registered"
              slot.peer.onOffline(slot)
            }
          }
          sleep()
        }
      })
    }
  },
  /** When the carrier is lost or given up, one takes over on which the peer is not online, if there is such a one. */
  "wrong-standby": () => {
    const { openPeer } = ConnectionTable.prototype
    const { onOffline } = PeerSlots.prototype
    PeerSlots.prototype.onOffline = function(slot) {
      const isLoss = slot.carrier === this.carrier()
      onOffline.call(this, slot)
      if (isLoss) useWrong(this, slot)
    }
    ConnectionTable.prototype.openPeer = function(key, events) {
      const path = openPeer.call(this, key, events)
      const { moveOn } = path
      return Object.assign(path, {
        moveOn: () => moveOn() && path instanceof PeerSlots && useWrong(path)
      })
    }
  },
  /** Replayed packets are taken. Lossless ones are caught by their numbers; lossy ones arrive twice. */
  "no-replay-check": () => {
    ReplayWindow.prototype.has = () => false
  },
  /** What a peer sends over a relay that only it knows is ignored: a mistake that this simulation once found in the library. */
  "deaf-to-strangers": () => {
    CryptoPeer.prototype.onUnboundPacket = () => undefined
  },
  ...plantedSessionBugs
}

let wrongCarrier = 0

/** Gives the traffic to a relay where the peer is not online; true, as `moveOn` of a path that has moved. */
const useWrong = (peer: PeerSlots, except?: Slot): true => {
  const wrong = peer.slots.find((slot) => slot !== except && slot.status !== "online")
  if (wrong === undefined) return true
  const { status } = wrong
  wrong.status = "online"
  wrong.carrier = --wrongCarrier
  peer.prefer(wrong.carrier)
  wrong.status = status
  return true
}
