/**
 * The peers of static groups, by what is known of them here: who is dialled, who is awaited, and which attempts of theirs were used. The
 * dialling side draws the attempt, so a listener tries the keys of each peer that it knows (design, "Direct links").
 */
import { type DirectKeys, isFrom, type PskIdentity, pskOf, wipeKeys } from "../protocol/direct/directKeys.ts"
import { UsedAttempts } from "../protocol/direct/UsedAttempts.ts"
import { type PublicKey, toHex } from "../schema/Bytes.ts"
import type { DirectLink } from "../services/DirectLinks.ts"
import { Meeting } from "./directMeeting.ts"
import * as Waiters from "./waitUntil.ts"

/** Attempts of one peer at the same time: it has been restarted, say, and the old ones have not ended yet. */
const maxAttempts = 4

export type GroupVerdict =
  | { readonly _tag: "Expected"; readonly member: GroupMember }
  | { readonly _tag: "Unexpected" | "Replayed" | "WrongDirection"; readonly member: GroupMember }

interface Underway {
  readonly attempt: Uint8Array
  readonly psk: Uint8Array
  meeting: Meeting | undefined
}

/** One peer of a static group. */
export class GroupMember {
  readonly key: PublicKey
  readonly keys: DirectKeys
  readonly waiters = Waiters.make()
  /** The group has ended. */
  isOver = false
  /** Calls of ours that are under way. */
  dialling = 0
  /** For each `accept` that waits, the number of streams it wants. */
  readonly awaiting = new Set<{ readonly streams: number }>()
  readonly #used = new UsedAttempts()
  readonly #underway = new Map<string, Underway>()

  constructor(key: PublicKey, keys: DirectKeys) {
    this.key = key
    this.keys = keys
  }

  judge(attempt: Uint8Array): GroupVerdict {
    if (this.#used.has(attempt)) return { _tag: "Replayed", member: this }
    if (this.awaiting.size > 0) return { _tag: "Expected", member: this }
    return { _tag: this.dialling > 0 ? "WrongDirection" : "Unexpected", member: this }
  }

  /** The pre-shared key of an attempt that is expected. */
  psk(attempt: Uint8Array): Uint8Array {
    return this.#begin(attempt).psk
  }

  /** Where the connections of an attempt that is expected meet. */
  meeting(attempt: Uint8Array): Meeting {
    const underway = this.#begin(attempt)
    const [first] = this.awaiting
    underway.meeting ??= new Meeting({
      peer: this.key,
      greater: false,
      streams: first?.streams ?? 1,
      waiters: this.waiters
    })
    return underway.meeting
  }

  /** A link that is made: whoever takes it ends its meeting. */
  takeLink(): { readonly link: DirectLink; readonly meeting: Meeting } | undefined {
    for (const [id, { meeting }] of this.#underway) {
      const link = meeting?.takeLink()
      if (meeting === undefined || link === undefined) continue
      this.#forget(id)
      return { link, meeting }
    }
    return undefined
  }

  /** Ends the attempt, when it has come to no link. */
  end(attempt: Uint8Array): void {
    this.#drop(toHex(attempt))
  }

  /** Ends all attempts. */
  endAll(): void {
    for (const id of this.#underway.keys()) this.#drop(id)
  }

  #begin(attempt: Uint8Array): Underway {
    const id = toHex(attempt)
    const known = this.#underway.get(id)
    if (known !== undefined) return known
    if (this.#underway.size >= maxAttempts) this.#makeRoom()
    const underway = { attempt: attempt.slice(), psk: pskOf(this.keys, attempt), meeting: undefined }
    this.#underway.set(id, underway)
    return underway
  }

  /** Those who have not proven anything go first: anybody can say again what the peer once said. */
  #makeRoom(): void {
    const unproven = [...this.#underway].find(([, { meeting }]) => meeting === undefined)
    const [id] = unproven ?? this.#underway.entries().next().value ?? []
    if (id !== undefined) this.#drop(id)
  }

  #drop(id: string): void {
    const meeting = this.#underway.get(id)?.meeting
    this.#forget(id)
    meeting?.end()
  }

  #forget(id: string): void {
    const underway = this.#underway.get(id)
    if (underway === undefined) return
    this.#underway.delete(id)
    underway.psk.fill(0)
    if (underway.meeting !== undefined) this.#used.add(underway.attempt)
  }
}

export class DirectGroup {
  readonly #ours: PublicKey
  readonly #peers = new Map<string, GroupMember>()

  /** `ours`: our identity key. */
  constructor(ours: PublicKey) {
    this.#ours = ours
  }

  /** The peer, known from now on; the keys are kept for one that was not known yet. */
  peer(key: PublicKey, keys: DirectKeys): GroupMember {
    const id = toHex(key)
    const found = this.#peers.get(id) ?? new GroupMember(key, keys)
    this.#peers.set(id, found)
    return found
  }

  /** Whom a caller claims to be, and whether that one is expected. Undefined: nobody of the group. */
  judge(identity: PskIdentity): GroupVerdict | undefined {
    for (const peer of this.#peers.values()) {
      if (isFrom(peer.keys, identity, peer.key)) return peer.judge(identity.attempt)
      if (isFrom(peer.keys, identity, this.#ours)) return { _tag: "WrongDirection", member: peer }
    }
    return undefined
  }

  /** Ends everything, and wipes the keys. */
  clear(): void {
    for (const peer of this.#peers.values()) {
      peer.isOver = true
      peer.endAll()
      wipeKeys(peer.keys)
      peer.waiters.wake()
    }
    this.#peers.clear()
  }
}
