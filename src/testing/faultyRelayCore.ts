/**
 * A relay's core that loses, holds back, doubles and reorders what its clients send each other, and lies about who is there. It only
 * replaces what the core sends; what clients may do, and the limits, are the real relay's. Its delays need `release` at `nextDue`.
 */
import type { RelayServerClient } from "../protocol/relay-server/RelayServerClient.ts"
import { RelayServerCore, type RelayServerCoreOptions } from "../protocol/relay-server/RelayServerCore.ts"
import { notification } from "../protocol/relay-server/relayServerPackets.ts"
import { packetType } from "../protocol/relay/relayPacketType.ts"
import { keySize, toHex } from "../schema/Bytes.ts"
import { firstConnectionId } from "../schema/RelayPacket.ts"
import type { RelayFaultRules } from "./relayFaultRules.ts"

export interface FaultyRelayTools {
  readonly rules: RelayFaultRules
  /** A number in [0, 1). */
  readonly fraction: () => number
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** `nextDue` may have come nearer. */
  readonly onHeld: () => void
}

/** A packet on its way. */
interface HeldPacket {
  readonly due: number
  readonly from: string
  readonly to: RelayServerClient
  readonly plain: Uint8Array
}

export class FaultyRelayCore extends RelayServerCore {
  readonly counts = { dropped: 0, duplicated: 0, reordered: 0, delayed: 0, lies: 0 }
  readonly #tools: FaultyRelayTools
  /** By due time; those of the same time in the order of sending. */
  readonly #held: Array<HeldPacket> = []
  /** When the latest packet of a direction that keeps its order is due. */
  readonly #lastDue = new Map<string, number>()
  /** Claims to be made once the batch has shown whether they would be true. */
  #claims: Array<{ readonly client: RelayServerClient; readonly id: number }> = []

  constructor(options: RelayServerCoreOptions, tools: FaultyRelayTools) {
    super(options)
    this.#tools = tools
  }

  /** When the oldest held packet must be released, monotonic milliseconds; Infinity while none is held. */
  get nextDue(): number {
    return this.#held[0]?.due ?? Infinity
  }

  /** Sends the held packets whose time has come. A batch of its own, like `tick`. */
  release(): void {
    const time = this.#tools.now()
    while (this.nextDue <= time) {
      const { from, plain, to } = this.#held.shift()!
      // The link of a held data packet may have ended, and its id gone to somebody else.
      if (!to.connection.closed && senderOf(to, plain) === from) super.data(to, plain)
    }
    this.endBatch()
  }

  /** Sends a notification about `from` to `to`, both keys as text. False when the receiver does not hold that key. */
  announce(from: string, to: string, isOnline: boolean): boolean {
    const client = this.client(to)
    const id = client?.links.find(from) ?? 0
    if (client === undefined || id === 0) return false
    this.counts.lies++
    super.notify(
      client,
      notification(isOnline ? packetType.connectNotification : packetType.disconnectNotification, id)
    )
    this.endBatch()
    return true
  }

  override data(client: RelayServerClient, plain: Uint8Array): void {
    const from = senderOf(client, plain)
    const to = client.links.key
    const rule = from === undefined ? undefined : this.#tools.rules.find(from, to)
    if (from === undefined || rule === undefined) return this.#pass(from ?? "", client, plain, 0, 0)
    if (this.#strikes(rule.drop)) return void this.counts.dropped++
    const isDoubled = this.#strikes(rule.duplicate)
    const isLate = this.#strikes(rule.reorder)
    if (isDoubled) this.counts.duplicated++
    if (isLate) this.counts.reordered++
    if (rule.delay > 0) this.counts.delayed++
    for (let copies = isDoubled ? 2 : 1; copies > 0; copies--) {
      this.#pass(from, client, plain, rule.delay, isLate ? rule.reorderBy : 0)
    }
  }

  override control(client: RelayServerClient, plain: Uint8Array): void {
    super.control(client, plain)
    const id = plain[1]!
    if (plain[0] !== packetType.routingResponse || id < firstConnectionId) return
    const rule = this.#tools.rules.find(client.links.keyOf(id) ?? "", client.links.key)
    if (rule?.claimOnline === true) this.#claims.push({ client, id })
  }

  override notify(client: RelayServerClient, plain: Uint8Array): void {
    const rule = this.#tools.rules.find(client.links.keyOf(plain[1]!) ?? "", client.links.key)
    const isHidden = plain[0] === packetType.connectNotification ? rule?.hideOnline : rule?.hideOffline
    if (isHidden === true) return void this.counts.lies++
    super.notify(client, plain)
  }

  override endBatch(): void {
    const claims = this.#claims
    this.#claims = []
    for (const { client, id } of claims) {
      if (client.connection.closed || client.links.status(id) !== "registered") continue
      this.counts.lies++
      super.notify(client, notification(packetType.connectNotification, id))
    }
    super.endBatch()
  }

  #strikes(probability: number): boolean {
    return probability > 0 && (probability >= 1 || this.#tools.fraction() < probability)
  }

  /** Now, or after the delay and behind what is delayed already; a late packet lets others overtake it. */
  #pass(from: string, to: RelayServerClient, plain: Uint8Array, delay: number, late: number): void {
    const time = this.#tools.now()
    const direction = `${from} ${to.links.key}`
    const inOrder = Math.max(time + delay, this.#lastDue.get(direction) ?? 0)
    const due = inOrder + late
    if (due <= time) return super.data(to, plain)
    if (late === 0) this.#lastDue.set(direction, inOrder)
    let at = this.#held.length
    while (at > 0 && this.#held[at - 1]!.due > due) at--
    this.#held.splice(at, 0, { due, from, to, plain: plain.slice() })
    this.#tools.onHeld()
  }
}

/** Whose packet the receiver takes it for, as text: by the id of a data packet, by the key in an out-of-band packet. */
const senderOf = (to: RelayServerClient, plain: Uint8Array): string | undefined =>
  plain[0]! >= firstConnectionId ? to.links.peer(plain[0]!)?.key : toHex(plain.subarray(1, 1 + keySize))
