/** What the peers of net_crypto need from the layer that runs them, and what they report to it. Types only. */
import type { PublicKey } from "../../schema/Bytes.ts"
import type { Crypto, KeyPair } from "../crypto/Crypto.ts"
import type { Fill } from "../crypto/ephemeral.ts"
import type { PeerPath, PeerPathEvents, ReplyRoute } from "../registry/PeerPath.ts"
import type { CookieJar } from "./CookieJar.ts"
import type { CryptoPeer } from "./CryptoPeer.ts"
import type { CryptoSession } from "./CryptoSession.ts"
import type { WokenBy } from "./Parking.ts"
import type { SessionHost, SessionNumbers } from "./SessionHost.ts"

/** Numbers of the handshake and of the sessions. Milliseconds. */
export interface PeerNumbers extends SessionNumbers {
  readonly handshakeInterval: number
  readonly handshakeTries: number
}

/** What all peers of a node share, and what a peer reports. */
export interface PeerHost extends Omit<SessionHost, "onConfirmed" | "onKilled" | "onWaking" | "onWoken"> {
  readonly numbers: PeerNumbers
  readonly crypto: Crypto
  readonly fill: Fill
  readonly jar: CookieJar
  readonly identity: KeyPair
  readonly dht: KeyPair
  /** `before`: the key of the path that this one is to replace. */
  readonly openPath: (peer: PublicKey, events: PeerPathEvents, before?: PublicKey) => PeerPath
  /** A session works now. */
  readonly onEstablished: (peer: CryptoPeer, session: CryptoSession) => void
  /** A session rests no longer. */
  readonly onWoken: (session: CryptoSession, by: WokenBy) => void
  /** A working session is over, or (undefined) a call has come to nothing. */
  readonly onEnded: (peer: CryptoPeer, session: CryptoSession | undefined, reason: EndReason) => void
  /** A handshake for this peer arrived: whoever knows all peers opens it and gives it back to the right one. */
  readonly onHandshake: (bytes: Uint8Array, route: ReplyRoute) => void
  /** A cookie request arrived by this peer's path. */
  readonly answerCookieRequest: (bytes: Uint8Array, reply: (packet: Uint8Array) => boolean) => void
  /** The deadline may have come nearer. */
  readonly wake: (peer: CryptoPeer) => void
}

export type EndReason = "CookieRequest" | "Handshake" | "TimedOut" | "Closed" | "Restarted" | "ClosedHere"
