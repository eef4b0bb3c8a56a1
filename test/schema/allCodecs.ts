/**
 * Every wire codec, by name, for tests that hold for all of them.
 */
import * as Direct from "../../src/schema/DirectPacket.ts"
import { LinkControl } from "../../src/schema/LinkControl.ts"
import * as NetCrypto from "../../src/schema/NetCryptoPacket.ts"
import { ShareRelays } from "../../src/schema/PackedNode.ts"
import * as RelayHello from "../../src/schema/RelayHello.ts"
import * as Relay from "../../src/schema/RelayPacket.ts"
import { SessionFrame } from "../../src/schema/SessionFrame.ts"
import type { WireCodec } from "../../src/schema/WirePacket.ts"

const codecs = {
  RelayPacket: Relay.RelayPacket,
  fromClient: Relay.fromClient,
  fromRelay: Relay.fromRelay,
  ClientHello: RelayHello.ClientHello,
  ServerHello: RelayHello.ServerHello,
  HelloPayload: RelayHello.HelloPayload,
  NetCryptoPacket: NetCrypto.NetCryptoPacket,
  CookieRequestContent: NetCrypto.CookieRequestContent,
  CookieResponseContent: NetCrypto.CookieResponseContent,
  CookieContent: NetCrypto.CookieContent,
  Cookie: NetCrypto.Cookie,
  HandshakeContent: NetCrypto.HandshakeContent,
  ShareRelays,
  LinkControl,
  DirectHello: Direct.DirectHello,
  DirectHelloAck: Direct.DirectHelloAck,
  SessionFrame
}

/** Typed by what all of them share: their values are objects with a tag. */
export const allCodecs = codecs as unknown as Readonly<
  Record<keyof typeof codecs, WireCodec<{ readonly _tag: string }>>
>
