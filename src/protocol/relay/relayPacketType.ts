/**
 * The first byte of each relay packet (relay protocol, section 5) as a number, for the relay's hot path, which tells packets apart
 * without decoding them. A test holds it against the packet tables.
 */
export const packetType = {
  routingRequest: 0,
  routingResponse: 1,
  connectNotification: 2,
  disconnectNotification: 3,
  ping: 4,
  pong: 5,
  oobSend: 6,
  oobReceive: 7,
  onionRequest: 8,
  onionResponse: 9,
  forwardRequest: 10,
  forwarding: 11
} as const
