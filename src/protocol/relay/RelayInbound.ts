/**
 * Judges every packet that a relay sends to a client (relay protocol, section 8.1, and reliability, relay client): hands on what is
 * valid and means something now, drops what is harmless, and names what a relay must not send. It never sends anything.
 */
import * as Result from "effect/Result"
import { equalBytes, type PublicKey } from "../../schema/Bytes.ts"
import { firstConnectionId, fromRelay } from "../../schema/RelayPacket.ts"
import type { RelayIds } from "./RelayIds.ts"

/** Where valid packets go. Byte arguments except keys are views that are valid during the call only. */
export interface RelayInboundHandler {
  /** The relay wants this id back; never zero. */
  readonly onPing: (pingId: Uint8Array) => void
  /** Any non-zero id: whether it belongs to a ping of ours is for the receiver to know. */
  readonly onPong: (pingId: Uint8Array) => void
  /** A request was settled; id 0 is a refusal. */
  readonly onRouteResponse: (connectionId: number, peer: PublicKey) => void
  readonly onPeerOnline: (connectionId: number) => void
  readonly onPeerOffline: (connectionId: number) => void
  readonly onData: (connectionId: number, bytes: Uint8Array) => void
  readonly onOob: (sender: PublicKey, bytes: Uint8Array) => void
  readonly onOnion: (bytes: Uint8Array) => void
  readonly onForwarded: (bytes: Uint8Array) => void
}

export class RelayInbound {
  readonly #ids: RelayIds
  readonly #ours: PublicKey
  readonly #handler: RelayInboundHandler
  #dropped = 0

  /** `ours` is the key that the relay knows us by. */
  constructor(ids: RelayIds, ours: PublicKey, handler: RelayInboundHandler) {
    this.#ids = ids
    this.#ours = ours
    this.#handler = handler
  }

  /** Packets that were ignored because they mean nothing in the present state. */
  get dropped(): number {
    return this.#dropped
  }

  /** Takes the plaintext of one frame. Returns what the relay did wrong, or undefined. */
  accept(plain: Uint8Array): string | undefined {
    const id = plain[0]!
    if (id < firstConnectionId) return this.#acceptControl(plain)
    // Empty data is passed on by stock relays, so closing would let any peer cut us off (relay protocol, trap 7).
    if (plain.length > 1 && this.#ids.isHeld(id)) this.#handler.onData(id, plain.subarray(1))
    else this.#dropped++
    return undefined
  }

  #acceptControl(plain: Uint8Array): string | undefined {
    const decoded = fromRelay.decode(plain)
    if (Result.isFailure(decoded)) return decoded.failure.message
    const packet = decoded.success
    switch (packet._tag) {
      case "RoutingResponse":
        return this.#acceptResponse(packet.connectionId, packet.publicKey)
      case "ConnectNotification":
        if (packet.connectionId < firstConnectionId) return `a connect notification for id ${packet.connectionId}`
        if (this.#ids.onConnect(packet.connectionId)) this.#handler.onPeerOnline(packet.connectionId)
        else this.#dropped++
        return undefined
      case "DisconnectNotification":
        if (packet.connectionId < firstConnectionId) return `a disconnect notification for id ${packet.connectionId}`
        if (this.#ids.onDisconnect(packet.connectionId)) this.#handler.onPeerOffline(packet.connectionId)
        else this.#dropped++
        return undefined
      case "Ping":
        if (isZero(packet.pingId)) this.#dropped++
        else this.#handler.onPing(packet.pingId)
        return undefined
      case "Pong":
        if (isZero(packet.pingId)) return "a pong of id 0"
        this.#handler.onPong(packet.pingId)
        return undefined
      case "OobReceive":
        if (equalBytes(packet.sender, this.#ours)) this.#dropped++
        else this.#handler.onOob(packet.sender.slice() as PublicKey, packet.payload)
        return undefined
      case "OnionResponse":
        this.#handler.onOnion(packet.payload)
        return undefined
      case "Forwarding":
        this.#handler.onForwarded(packet.payload)
        return undefined
      case "Data":
        return undefined
    }
  }

  #acceptResponse(connectionId: number, key: PublicKey): undefined {
    const peer = key.slice() as PublicKey
    switch (this.#ids.onResponse(connectionId, peer)) {
      case "Registered":
        this.#handler.onRouteResponse(connectionId, peer)
        return
      case "Repeated":
        this.#handler.onRouteResponse(connectionId, peer)
        // The relay does not notify again, so a peer that is online already is reported here.
        if (this.#ids.isOnline(connectionId)) this.#handler.onPeerOnline(connectionId)
        return
      case "Refused":
        this.#handler.onRouteResponse(0, peer)
        return
      case "Ignored":
        this.#dropped++
    }
  }
}

const isZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0)
