/**
 * Mistakes that the simulation must find. Each replaces a method of the library in this process alone, from outside; there is no switch for
 * it in the library. A feature whose failure the simulation should notice gets a row here.
 */
import { CryptoPeer } from "../../src/protocol/net-crypto/CryptoPeer.ts"
import { ReceiveWindow } from "../../src/protocol/net-crypto/ReceiveWindow.ts"
import { ReplayWindow } from "../../src/protocol/net-crypto/ReplayWindow.ts"
import { SendWindow } from "../../src/protocol/net-crypto/SendWindow.ts"
import { ConnectionTable } from "../../src/protocol/registry/ConnectionTable.ts"

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
  /** Replayed packets are taken. Lossless ones are caught by their numbers; lossy ones arrive twice. */
  "no-replay-check": () => {
    ReplayWindow.prototype.has = () => false
  },
  /** What a peer sends over a relay that only it knows is ignored: a mistake that this simulation once found in the library. */
  "deaf-to-strangers": () => {
    CryptoPeer.prototype.onUnboundPacket = () => undefined
  }
}
