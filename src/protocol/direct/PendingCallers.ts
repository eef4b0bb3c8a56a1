/**
 * How many callers are in the middle of their handshake, in all and from one address (an IPv4 address or an IPv6 /64). Nobody who has
 * been let in is ever pushed out by a newcomer.
 */
import { addressGroup } from "../relay-server/RelayServerAdmission.ts"

export class PendingCallers {
  readonly #maxTotal: number
  readonly #maxPerAddress: number
  readonly #byAddress = new Map<string, number>()
  #total = 0

  constructor(maxTotal: number, maxPerAddress: number) {
    this.#maxTotal = maxTotal
    this.#maxPerAddress = maxPerAddress
  }

  get total(): number {
    return this.#total
  }

  /** Whether a caller from this address may begin; it then counts until `leave`. */
  enter(address: string): boolean {
    const group = addressGroup(address)
    const pending = this.#byAddress.get(group) ?? 0
    if (this.#total >= this.#maxTotal || pending >= this.#maxPerAddress) return false
    this.#byAddress.set(group, pending + 1)
    this.#total++
    return true
  }

  /** A caller that was let in has finished, either way. Once for each. */
  leave(address: string): void {
    const group = addressGroup(address)
    const pending = this.#byAddress.get(group)
    if (pending === undefined) return
    if (pending === 1) this.#byAddress.delete(group)
    else this.#byAddress.set(group, pending - 1)
    this.#total--
  }
}
