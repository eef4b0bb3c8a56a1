/**
 * A client's table of the connection ids that one relay has granted (relay protocol, sections 6 and 8), and of the requests that
 * it has not answered. Pure bookkeeping: it never sends a packet and never reports one. Nothing that a relay says about one peer can
 * change what is known about another.
 */
import { toHex } from "../../schema/Bytes.ts"
import { firstConnectionId, lastConnectionId } from "../../schema/RelayPacket.ts"

const free = 0
const registered = 1
const online = 2

/** What a routing response means. `Refused`: no link on this relay. `Repeated`: the id that the key already had. */
export type ResponseOutcome = "Registered" | "Repeated" | "Refused" | "Ignored"

export class RelayIds {
  /** Status by connection id; the ids below 16 are never used. */
  readonly #status = new Uint8Array(lastConnectionId + 1)
  /** The key of each id that is not free, in hexadecimal. */
  readonly #keys: Array<string | undefined> = new Array(lastConnectionId + 1).fill(undefined)
  readonly #requested = new Set<string>()

  /** Notes a request. False, and nothing to send, when one for this key is outstanding. */
  request(peer: Uint8Array): boolean {
    const key = toHex(peer)
    if (this.#requested.has(key)) return false
    this.#requested.add(key)
    return true
  }

  /**
   * Takes a routing response. One for a key that was not asked for is ignored. Any other settles its request: an id that cannot be
   * granted (below 16, or in use for another key) counts as a refusal and leaves that other key alone.
   */
  onResponse(id: number, peer: Uint8Array): ResponseOutcome {
    const key = toHex(peer)
    if (!this.#requested.delete(key)) return "Ignored"
    if (id < firstConnectionId) return "Refused"
    if (this.#status[id] !== free) return this.#keys[id] === key ? "Repeated" : "Refused"
    // A key has one id: a second one beside it would be a link that nobody looks at.
    if (this.#keys.includes(key)) return "Refused"
    this.#status[id] = registered
    this.#keys[id] = key
    return "Registered"
  }

  /** Whether the peer of this id came online just now. False for an id that is free or already online. */
  onConnect(id: number): boolean {
    if (this.#status[id] !== registered) return false
    this.#status[id] = online
    return true
  }

  /** Whether the peer of this id went offline just now. False for an id that is not online. */
  onDisconnect(id: number): boolean {
    if (this.#status[id] !== online) return false
    this.#status[id] = registered
    return true
  }

  /** Gives an id back. False, and nothing to send, when it is not held: to tell the relay twice would cost the connection. */
  release(id: number): boolean {
    if (!this.isHeld(id)) return false
    this.#status[id] = free
    this.#keys[id] = undefined
    return true
  }

  /** Whether the id is registered or online. False for every number that is no connection id. */
  isHeld(id: number): boolean {
    return this.#status[id] !== undefined && this.#status[id] !== free
  }

  isOnline(id: number): boolean {
    return this.#status[id] === online
  }

  /** How many ids are held and online, and how many requests wait for an answer. Counted, not kept: nothing can drift. */
  counts(): { readonly held: number; readonly online: number; readonly requested: number } {
    let held = 0
    let up = 0
    for (const status of this.#status) {
      if (status !== free) held++
      if (status === online) up++
    }
    return { held, online: up, requested: this.#requested.size }
  }
}
