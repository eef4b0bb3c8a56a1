/**
 * What each packet of a confirmed client does (relay protocol, section 7). One function, called once per packet with the view of the
 * opened frame, which it may overwrite: data is forwarded by replacing its first byte. Bad packets close their sender; nothing here
 * can close anybody else but a client that does not read.
 */
import { keySize, toHex } from "../../schema/Bytes.ts"
import { firstConnectionId, maxOobPayload, pingIdSize } from "../../schema/RelayPacket.ts"
import { packetType } from "../relay/relayPacketType.ts"
import type { RelayServerClient } from "./RelayServerClient.ts"
import type { RelayServerCore } from "./RelayServerCore.ts"
import { count } from "./RelayServerShared.ts"

/** Smallest onion request that a relay with onion would not close for: type, nonce and two layers of keys, address and tag. */
const minOnionRequest = 160

/** Connect (2) or disconnect (3) notification. */
export const notification = (type: number, connectionId: number): Uint8Array => Uint8Array.of(type, connectionId)

/** Handles one packet of a client, at least one byte. */
export const handlePacket = (core: RelayServerCore, client: RelayServerClient, plain: Uint8Array): void => {
  const type = plain[0]!
  if (type >= firstConnectionId) return forward(core, client, plain)
  switch (type) {
    case packetType.routingRequest:
      client.chargeRouting(core.now)
      if (plain.length !== 1 + keySize) return core.violate(client.connection, "routing request length")
      return route(core, client, plain)
    case packetType.connectNotification:
      client.chargeRouting(core.now)
      if (plain.length !== 2) return core.violate(client.connection, "connect notification length")
      return count(core.counters.ignored, "connect notification")
    case packetType.disconnectNotification:
      client.chargeRouting(core.now)
      if (plain.length !== 2) return core.violate(client.connection, "disconnect notification length")
      return disconnect(core, client, plain[1]!)
    case packetType.ping:
      if (plain.length !== 1 + pingIdSize) return core.violate(client.connection, "ping length")
      plain[0] = packetType.pong
      return core.control(client, plain)
    case packetType.pong:
      if (plain.length !== 1 + pingIdSize) return core.violate(client.connection, "pong length")
      if (isZero(plain, 1)) return core.violate(client.connection, "pong id 0")
      if (!client.pong(plain)) count(core.counters.ignored, "pong without its ping")
      return
    case packetType.oobSend:
      client.chargeOob(core.now)
      return outOfBand(core, client, plain)
    case packetType.onionRequest:
      if (plain.length < minOnionRequest) return core.violate(client.connection, "onion request length")
      return count(core.counters.ignored, "onion request")
    case packetType.forwardRequest:
      return core.violate(client.connection, "forward request")
    case packetType.routingResponse:
    case packetType.oobReceive:
    case packetType.onionResponse:
    case packetType.forwarding:
      return core.violate(client.connection, "packet that only a relay sends")
    default:
      return core.violate(client.connection, "unassigned packet type")
  }
}

/** Data (section 7.2): the hot path of the relay. */
const forward = (core: RelayServerCore, client: RelayServerClient, plain: Uint8Array): void => {
  const id = plain[0]!
  const peer = client.links.peer(id)
  if (peer === undefined) {
    if (client.links.status(id) === "free") return core.violate(client.connection, "data on an id that is not in use")
    core.counters.droppedPackets++
    return
  }
  // A stock client gives up its relay connection when it receives a data packet without payload (trap 7).
  if (plain.length < 2) return count(core.counters.ignored, "data without payload")
  plain[0] = client.links.peerId(id)
  core.data(peer.owner, plain)
}

/** Routing request (section 7.1). */
const route = (core: RelayServerCore, client: RelayServerClient, plain: Uint8Array): void => {
  const key = toHex(plain.subarray(1))
  const known = client.links.find(key)
  const id = known === 0 ? client.links.register(key) : known
  const response = new Uint8Array(2 + keySize)
  response[0] = packetType.routingResponse
  response[1] = id
  response.set(plain.subarray(1), 2)
  // Before any notification: only the response tells the client which peer the id stands for.
  core.control(client, response)
  if (known !== 0 || id === 0) return
  const other = core.client(key)
  const linked = other === undefined ? undefined : client.links.link(other.links)
  if (other === undefined || linked === undefined) return
  core.notify(client, notification(packetType.connectNotification, linked.ours))
  // That may have been one packet too many for a client that does not read.
  if (client.connection.closed) return
  core.notify(other, notification(packetType.connectNotification, linked.theirs))
}

/** The client gives an id back. */
const disconnect = (core: RelayServerCore, client: RelayServerClient, id: number): void => {
  const peer = client.links.peer(id)
  const peerId = peer === undefined ? 0 : client.links.peerId(id)
  if (!client.links.release(id)) return core.violate(client.connection, "disconnect of an id that is not in use")
  client.output.withdraw(id)
  if (peer !== undefined) core.notify(peer.owner, notification(packetType.disconnectNotification, peerId))
}

/** Out of band: 34 to 1057 bytes, to whoever is confirmed under the destination key, the sender included. */
const outOfBand = (core: RelayServerCore, client: RelayServerClient, plain: Uint8Array): void => {
  const payload = plain.length - 1 - keySize
  if (payload < 1 || payload > maxOobPayload) return core.violate(client.connection, "out-of-band length")
  const destination = core.client(toHex(plain.subarray(1, 1 + keySize)))
  if (destination === undefined) return count(core.counters.ignored, "out-of-band to nobody")
  plain[0] = packetType.oobReceive
  plain.set(client.key, 1)
  core.data(destination, plain)
}

const isZero = (bytes: Uint8Array, from: number): boolean => {
  for (let i = from; i < bytes.length; i++) if (bytes[i] !== 0) return false
  return true
}
