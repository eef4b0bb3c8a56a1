/**
 * Who may call us, for which attempt, and until when (rows M07, M08, M11, M14): a time-limited LRU of announced connections by peer, attempt and
 * who announced it. It is bounded in all and for each peer, and a peer can only push out entries of its own, so that a flood of
 * announcements costs nobody else a connection. What became of the latest attempts is remembered for a while, to tell a call that comes too
 * late from one that was never announced. Time is passed in, milliseconds of one monotonic clock.
 */
import { type PublicKey, toHex } from "../../schema/Bytes.ts"

/** A connection that is announced but not made. */
export interface Expectation {
  readonly peer: PublicKey
  /** 16 bytes. */
  readonly attempt: Uint8Array
  /** The peer's ConnectRequest, or ours, to which the peer's ConnectResponse brings back the token. */
  readonly announcedBy: "us" | "peer"
  /** The identity of the pre-shared key when the peer dials, and when we do. */
  readonly theirCall: string
  readonly ourCall: string
}

export interface ExpectationLimits {
  /** In all, and of one peer. */
  readonly capacity: number
  readonly perPeer: number
  /** Milliseconds. */
  readonly lifetime: number
}

/** An entry, and what the caller keeps with it. */
export interface Expected<Value> extends Expectation {
  readonly value: Value
  readonly expiresAt: number
}

interface Held<Value> extends Expected<Value> {
  readonly id: string
  readonly peerId: string
  taken: boolean
}

/** Why a call is not expected. */
export type NotExpected = "Unexpected" | "Expired" | "Replayed" | "WrongDirection"

interface Past {
  readonly peer: PublicKey
  readonly fate: "Expired" | "Replayed"
}

export type CallVerdict<Value> =
  | { readonly _tag: "Expected"; readonly entries: readonly [Expected<Value>, ...ReadonlyArray<Expected<Value>>] }
  | { readonly _tag: NotExpected; readonly peer: PublicKey | undefined }

const idOf = ({ peer, attempt, announcedBy }: Pick<Expectation, "peer" | "attempt" | "announcedBy">): string =>
  `${toHex(peer)} ${toHex(attempt)} ${announcedBy}`

export class ExpectedConnections<Value> {
  readonly #limits: ExpectationLimits
  readonly #onGone: (value: Value) => void
  /** The least recently used first; so the oldest goes first, because nothing makes an entry live longer. */
  readonly #entries = new Map<string, Held<Value>>()
  readonly #byPeer = new Map<string, Set<Held<Value>>>()
  readonly #byCall = new Map<string, Set<Held<Value>>>()
  readonly #ourCalls = new Map<string, Set<Held<Value>>>()
  /** What became of earlier attempts, by the identity of the peer's call. As many as may be expected at once. */
  readonly #past = new Map<string, Past>()

  /** `onGone` is told of each entry that expires or is pushed out: its secrets can be wiped. */
  constructor(limits: ExpectationLimits, onGone: (value: Value) => void) {
    this.#limits = limits
    this.#onGone = onGone
  }

  get size(): number {
    return this.#entries.size
  }

  /** When the next entry expires; infinity when there is none. */
  get nextExpiry(): number {
    for (const entry of this.#entries.values()) return entry.expiresAt
    return Infinity
  }

  /** The live entry of this attempt. */
  find(expectation: Pick<Expectation, "peer" | "attempt" | "announcedBy">, now: number): Expected<Value> | undefined {
    this.expire(now)
    return this.#entries.get(idOf(expectation))
  }

  /** What became of an attempt that is over, as far as that is remembered. */
  fate(theirCall: string): "Expired" | "Replayed" | undefined {
    return this.#past.get(theirCall)?.fate
  }

  /**
   * Expects a connection. When the peer has its share, or there is no room at all, its own oldest entry that nobody has taken goes;
   * undefined when it has none. Expecting what is expected already changes nothing.
   */
  expect(expectation: Expectation, now: number, make: () => Value): Expected<Value> | undefined {
    const known = this.find(expectation, now)
    if (known !== undefined) return known
    const peerId = toHex(expectation.peer)
    const own = this.#byPeer.get(peerId)
    if ((own?.size ?? 0) >= this.#limits.perPeer || this.#entries.size >= this.#limits.capacity) {
      const oldest = own && [...own].find(({ taken }) => !taken)
      if (oldest === undefined) return undefined
      this.#drop(oldest, "Expired")
    }
    const { peer, attempt } = expectation
    const entry: Held<Value> = {
      ...expectation,
      // Views of a packet that is gone soon.
      peer: peer.slice() as PublicKey,
      attempt: attempt.slice(),
      id: idOf(expectation),
      peerId,
      value: make(),
      expiresAt: now + this.#limits.lifetime,
      taken: false
    }
    this.#entries.set(entry.id, entry)
    insert(this.#byPeer, peerId, entry)
    insert(this.#byCall, entry.theirCall, entry)
    insert(this.#ourCalls, entry.ourCall, entry)
    return entry
  }

  /** Takes an entry over: only expiry ends it now. False: somebody has taken it before, or it is gone. */
  take(entry: Expected<Value>): boolean {
    const held = this.#entries.get(idOf(entry))
    if (held !== entry || held.taken) return false
    held.taken = true
    return true
  }

  /** The connection is made: whoever calls for it again replays. */
  complete(entry: Expected<Value>): void {
    this.#end(entry, "Replayed")
  }

  /** It is not expected any more: whoever calls for it comes too late. */
  withdraw(entry: Expected<Value>): void {
    this.#end(entry, "Expired")
  }

  /** The same, unless somebody has taken it over. */
  leave(entry: Expected<Value>): void {
    if (this.#entries.get(idOf(entry))?.taken !== true) this.withdraw(entry)
  }

  /** Judges a caller by the identity of its pre-shared key, which it has not proven yet. */
  judge(call: string, now: number): CallVerdict<Value> {
    this.expire(now)
    const [first, ...others] = this.#byCall.get(call) ?? []
    if (first !== undefined) return { _tag: "Expected", entries: [first, ...others] }
    const past = this.#past.get(call)
    if (past !== undefined) return { _tag: past.fate, peer: past.peer }
    for (const entry of this.#ourCalls.get(call) ?? []) return { _tag: "WrongDirection", peer: entry.peer }
    return { _tag: "Unexpected", peer: undefined }
  }

  /** Drops what has expired. */
  expire(now: number): void {
    for (const entry of this.#entries.values()) {
      if (entry.expiresAt > now) return
      this.#drop(entry, "Expired")
    }
  }

  /** Forgets everything. */
  clear(): void {
    for (const entry of this.#entries.values()) this.#drop(entry, "Expired")
    this.#past.clear()
  }

  #end(entry: Expected<Value>, fate: Past["fate"]): void {
    const held = this.#entries.get(idOf(entry))
    if (held === entry) this.#drop(held, fate)
  }

  #drop(entry: Held<Value>, fate: Past["fate"]): void {
    this.#entries.delete(entry.id)
    remove(this.#byPeer, entry.peerId, entry)
    remove(this.#byCall, entry.theirCall, entry)
    remove(this.#ourCalls, entry.ourCall, entry)
    // The same attempt may be known under the other role, where it was made.
    if (this.#past.get(entry.theirCall)?.fate !== "Replayed") this.#remember(entry, fate)
    this.#onGone(entry.value)
  }

  #remember({ theirCall, peer }: Held<Value>, fate: Past["fate"]): void {
    this.#past.delete(theirCall)
    this.#past.set(theirCall, { peer, fate })
    if (this.#past.size <= this.#limits.capacity) return
    for (const oldest of this.#past.keys()) {
      this.#past.delete(oldest)
      return
    }
  }
}

const insert = <Value>(index: Map<string, Set<Value>>, key: string, value: Value): void => {
  const found = index.get(key)
  if (found === undefined) index.set(key, new Set([value]))
  else found.add(value)
}

const remove = <Value>(index: Map<string, Set<Value>>, key: string, value: Value): void => {
  const found = index.get(key)
  found?.delete(value)
  if (found?.size === 0) index.delete(key)
}
