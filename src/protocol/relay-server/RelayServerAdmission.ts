/**
 * Whom a relay lets in (reliability, threat model): unconfirmed connections per address and in all, accepts per address, handshakes
 * per second, and logins of one key. Nobody who has been let in is ever evicted for a newcomer. It never reads a clock.
 */
import { TokenBucket } from "../TokenBucket.ts"

/** Rates are per second unless named otherwise. The relay's settings fit. */
export interface AdmissionLimits {
  readonly pendingPerAddress: number
  readonly pendingTotal: number
  readonly acceptsPerAddress: number
  readonly handshakesPerSecond: number
  readonly loginsPerMinute: number
  readonly limitLoopback: boolean
}

interface Source {
  pending: number
  readonly accepts: TokenBucket
}

const loginWindow = 60_000

export class RelayServerAdmission {
  readonly #limits: AdmissionLimits
  readonly #sources = new Map<string, Source>()
  readonly #handshakes: TokenBucket
  /** When each key logged in during the last minute, at most `loginsPerMinute` entries. */
  readonly #logins = new Map<string, Array<number>>()
  #pending = 0

  constructor(limits: AdmissionLimits) {
    this.#limits = limits
    this.#handshakes = new TokenBucket(limits.handshakesPerSecond)
  }

  /** What an address is counted by: an IPv4 address, an IPv6 /64, or undefined when it is exempt. */
  sourceOf(address: string): string | undefined {
    const source = addressGroup(address)
    return !this.#limits.limitLoopback && isLoopback(source) ? undefined : source
  }

  /** Whether a connection from this source may be accepted; it then counts as pending until `settle`. */
  admit(source: string | undefined, now: number): boolean {
    if (source === undefined) return true
    if (this.#pending >= this.#limits.pendingTotal) return false
    let known = this.#sources.get(source)
    if (known === undefined) {
      known = { pending: 0, accepts: new TokenBucket(this.#limits.acceptsPerAddress) }
      this.#sources.set(source, known)
    }
    if (known.pending >= this.#limits.pendingPerAddress || !known.accepts.take(now)) return false
    known.pending++
    this.#pending++
    return true
  }

  /** An admitted connection has been confirmed or has ended before that. Once for each. */
  settle(source: string | undefined): void {
    const known = source === undefined ? undefined : this.#sources.get(source)
    if (known === undefined) return
    known.pending--
    this.#pending--
  }

  /** Charges one handshake; for how many milliseconds it has to wait for its turn. */
  handshakeDelay(source: string | undefined, now: number): number {
    if (source === undefined) return 0
    this.#handshakes.charge(now)
    return this.#handshakes.delay(now)
  }

  /** A key has logged in: its owner is proven, so that nobody can slow down somebody else. */
  loggedIn(key: string, now: number): void {
    const logins = this.#logins.get(key)
    if (logins === undefined) return void this.#logins.set(key, [now])
    logins.push(now)
    if (logins.length > this.#limits.loginsPerMinute) logins.shift()
  }

  /** Whether one more login of this key would exceed the limit of the last minute. */
  isFlapping(key: string, now: number): boolean {
    const logins = this.#logins.get(key)
    return logins !== undefined && logins.length >= this.#limits.loginsPerMinute && now - logins[0]! < loginWindow
  }

  /** Forgets what no longer matters. To be called now and then. */
  prune(now: number): void {
    for (const [source, known] of this.#sources) {
      if (known.pending === 0 && known.accepts.isFull(now)) this.#sources.delete(source)
    }
    for (const [key, logins] of this.#logins) {
      if (now - logins.at(-1)! >= loginWindow) this.#logins.delete(key)
    }
  }

  /** How many addresses and keys are remembered. */
  get size(): number {
    return this.#sources.size + this.#logins.size
  }
}

/** An IPv4 address as it is, also when mapped into IPv6; of an IPv6 address the first 64 bits, `2001:db8:0:0::/64`. */
export const addressGroup = (address: string): string => {
  const zone = address.indexOf("%")
  const plain = zone < 0 ? address : address.slice(0, zone)
  if (!plain.includes(":")) return plain
  const groups = ipv6Groups(plain)
  const zeros = groups.findIndex((group) => group !== 0)
  if (zeros === 5 && groups[5] === 0xffff) {
    const [high = 0, low = 0] = groups.slice(6)
    return `${high >> 8}.${high & 0xff}.${low >> 8}.${low & 0xff}`
  }
  if (zeros === 7 && groups[7] === 1) return "::1"
  return `${groups.slice(0, 4).map((group) => group.toString(16)).join(":")}::/64`
}

/** The eight groups of an IPv6 address; meaningless numbers for text that is none. */
const ipv6Groups = (address: string): Array<number> => {
  const quad = /(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address)
  const hex = (high: string, low: string) => ((Number(high) << 8) | Number(low)).toString(16)
  const text = quad === null
    ? address
    : `${address.slice(0, quad.index)}${hex(quad[1]!, quad[2]!)}:${hex(quad[3]!, quad[4]!)}`
  const parse = (part: string | undefined) =>
    part === undefined || part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16))
  const [front, back] = text.split("::")
  const head = parse(front)
  const tail = parse(back)
  return [...head, ...Array<number>(Math.max(0, 8 - head.length - tail.length)).fill(0), ...tail]
}

const isLoopback = (source: string): boolean => source === "::1" || source.startsWith("127.")
