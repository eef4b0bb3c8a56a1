/**
 * The connection ids of one relay client (relay protocol, sections 6 and 7): up to 240 slots, each free, registered (a key was asked
 * for) or online (linked with the slot that the other client holds for us). Ids are local to one client; two linked tables
 * translate between them. It never sends anything: callers send the responses and notifications that its results call for.
 */
import { connectionSlots, firstConnectionId } from "../../schema/RelayPacket.ts"

/** What a slot is to its client: `free`, `registered` while the peer has not asked for us or is away, `online` when linked. */
export type SlotStatus = "free" | "registered" | "online"

/** The two ends of a link, as wire ids: `ours` in the table that was asked, `theirs` in the other one. */
export interface LinkedIds {
  readonly ours: number
  readonly theirs: number
}

/** The slots of `owner`, whose key is `key`. Keys are compared as text. Memory grows with the highest slot ever in use. */
export class LinkTable<Owner> {
  readonly owner: Owner
  readonly key: string
  /** The peer's key by slot; undefined: free. */
  readonly #keys: Array<string | undefined> = []
  /** The other end by slot, and the id that our slot's peer has given us; meaningful while linked. */
  readonly #peers: Array<LinkTable<Owner> | undefined> = []
  readonly #peerIds: Array<number> = []

  constructor(owner: Owner, key: string) {
    this.owner = owner
    this.key = key
  }

  /** The id under which a key is held, registered or online; 0 when it is not. */
  find(key: string): number {
    const slot = this.#keys.indexOf(key)
    return slot < 0 ? 0 : slot + firstConnectionId
  }

  /** Registers a key in the lowest free slot and returns its id; 0, a refusal, for our own key and when all slots are taken. */
  register(key: string): number {
    if (key === this.key) return 0
    const keys = this.#keys
    let slot = keys.indexOf(undefined)
    if (slot < 0) slot = keys.length
    if (slot >= connectionSlots) return 0
    keys[slot] = key
    this.#peers[slot] = undefined
    this.#peerIds[slot] = 0
    return slot + firstConnectionId
  }

  /** Links the two slots that hold each other's keys; undefined, and no change, unless both are registered. */
  link(other: LinkTable<Owner>): LinkedIds | undefined {
    const ours = this.find(other.key)
    const theirs = other.find(this.key)
    if (this.status(ours) !== "registered" || other.status(theirs) !== "registered") return undefined
    this.#join(ours, other, theirs)
    other.#join(theirs, this, ours)
    return { ours, theirs }
  }

  status(id: number): SlotStatus {
    const slot = id - firstConnectionId
    if (slot < 0 || this.#keys[slot] === undefined) return "free"
    return this.#peers[slot] === undefined ? "registered" : "online"
  }

  /** The key that an id is held for, as text; undefined while it is free. */
  keyOf(id: number): string | undefined {
    return this.#keys[id - firstConnectionId]
  }

  /** The table that an id is linked with; undefined while it is not online. */
  peer(id: number): LinkTable<Owner> | undefined {
    return this.#peers[id - firstConnectionId]
  }

  /** The id that the linked peer knows us by. Only for an online id. */
  peerId(id: number): number {
    return this.#peerIds[id - firstConnectionId]!
  }

  /**
   * Frees a slot. The other end of a link stays registered, so that it is linked again as soon as we ask again. Whether the id was
   * in use; `peer` and `peerId`, asked before, name the one to notify.
   */
  release(id: number): boolean {
    const slot = id - firstConnectionId
    if (slot < 0 || this.#keys[slot] === undefined) return false
    const peer = this.#peers[slot]
    if (peer !== undefined) peer.#unlink(this.#peerIds[slot]!)
    this.#keys[slot] = undefined
    this.#unlink(id)
    return true
  }

  /** Frees every slot and tells, for each link that ends, its other end. */
  releaseAll(onPeer: (peer: LinkTable<Owner>, peerId: number) => void): void {
    for (let slot = 0; slot < this.#keys.length; slot++) {
      const peer = this.#peers[slot]
      const peerId = this.#peerIds[slot]!
      if (this.release(slot + firstConnectionId) && peer !== undefined) onPeer(peer, peerId)
    }
  }

  #join(id: number, peer: LinkTable<Owner>, peerId: number): void {
    this.#peers[id - firstConnectionId] = peer
    this.#peerIds[id - firstConnectionId] = peerId
  }

  #unlink(id: number): void {
    this.#peers[id - firstConnectionId] = undefined
    this.#peerIds[id - firstConnectionId] = 0
  }
}
