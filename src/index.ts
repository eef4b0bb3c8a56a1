/**
 * The main entry point: services, errors, settings, what is sent, and the layers that run on any platform. It imports nothing of
 * Node; see `effect-causeway/node` for that. Layers are namespaces, so that a program says `NetCryptoLive.layer`.
 */

// What is sent
export { equalBytes, fromHex, PublicKey, PublicKeyFromHex, toHex } from "./schema/Bytes.ts"
export { IpEndpoint } from "./schema/IpEndpoint.ts"
export {
  formatHostPort,
  formatRelayAddress,
  parseHostPort,
  parseRelayAddress,
  RelayAddress,
  RelayAddressFromString
} from "./schema/RelayAddress.ts"
export { SessionValue } from "./schema/SessionValue.ts"
export {
  decodeTicket,
  encodeTicket,
  maxTicketEndpoints,
  maxTicketRelays,
  Ticket,
  TicketInvalid,
  ticketPrefix
} from "./schema/Ticket.ts"

// Words of the plain code that appear in the contracts
export type { Cipher, Crypto, KeyPair, SecretKey } from "./protocol/crypto/Crypto.ts"
export type { PeerPath, PeerPathEvents, PeerWay, ReplyRoute, SendOutcome } from "./protocol/registry/PeerPath.ts"
export type { RelayLink, RelayLinkEvents } from "./protocol/relay/RelayLink.ts"
export type { SessionMuxCounts } from "./protocol/session/sessionMuxOptions.ts"

// Services
export {
  Causeway,
  type CausewayAddress,
  type ConnectOptions,
  type Peer,
  type PeerLinkState
} from "./services/Causeway.ts"
export {
  ConnectionRegistry,
  type OobHandler,
  type RegistryCounts,
  type RegistryEvent,
  type RelayStatus
} from "./services/ConnectionRegistry.ts"
export {
  type DirectAttempt,
  type DirectLink,
  DirectLinks,
  type DirectRejection,
  type DirectRole
} from "./services/DirectLinks.ts"
export {
  type DirectListener,
  type DirectSecret,
  type DirectStream,
  type DirectStreamHandlers,
  DirectTransport,
  type RefusedCaller
} from "./services/DirectTransport.ts"
export { Entropy } from "./services/Entropy.ts"
export {
  generate as generateIdentity,
  generateKeyPair,
  Identity,
  type IdentityKeys,
  keyPair
} from "./services/Identity.ts"
export {
  NetCrypto,
  type NetCryptoConnection,
  type NetCryptoHandlers,
  type NetCryptoParked,
  type NetCryptoPath,
  type NetCryptoStats,
  type NetCryptoWokenBy,
  type PeerAddress
} from "./services/NetCrypto.ts"
export { type BridgeEvents, NetCryptoBridge } from "./services/NetCryptoBridge.ts"
export { NodePhase, type Phase } from "./services/NodePhase.ts"
export {
  PeerConnectionBuilder,
  type PeerConnectionProgress,
  type PeerConnections,
  type PeerConnectionState,
  type Reconnector
} from "./services/PeerConnectionBuilder.ts"
export {
  mappedEndpoints,
  type MappedPort,
  type MappingProtocol,
  type MappingState,
  PortMapping
} from "./services/PortMapping.ts"
export { RelayClient, type RelayState } from "./services/RelayClient.ts"
export { RelayServer, type RelayServerStats } from "./services/RelayServer.ts"
export {
  RelayTransport,
  type TransportConnection,
  TransportError,
  type TransportListener
} from "./services/RelayTransport.ts"
export {
  type ByteSession,
  type MessageOptions,
  type MessageSession,
  type OpenOptions,
  type Session,
  type SessionOffer,
  type SessionStats,
  type ValueSession
} from "./services/Session.ts"
export { ToxCrypto } from "./services/ToxCrypto.ts"

// Errors; their reasons are matched by tag, with `Effect.catchReason`
export { DirectError, DirectErrorReason } from "./services/DirectError.ts"
export { IdentityError, IdentityErrorReason } from "./services/IdentityError.ts"
export { NetCryptoError, NetCryptoErrorReason } from "./services/NetCryptoError.ts"
export { NodeIsClient } from "./services/NodeSettings.ts"
export { PeerConnectionError, PeerConnectionErrorReason } from "./services/PeerConnectionError.ts"
export { PortMapperMissing, PortMappingError, PortMappingErrorReason } from "./services/PortMapping.ts"
export { RelayError, RelayErrorReason } from "./services/RelayError.ts"
export { SessionError, SessionErrorReason } from "./services/SessionError.ts"
export { ToxCryptoUnavailable } from "./services/ToxCryptoUnavailable.ts"

// Settings
export {
  type DirectNumbers,
  DirectSettings,
  directSettingsConfig,
  DirectSettingsInvalid,
  type PathPolicy
} from "./services/DirectSettings.ts"
export {
  type NetCryptoNumbers,
  NetCryptoSettings,
  netCryptoSettingsConfig,
  NetCryptoSettingsInvalid
} from "./services/NetCryptoSettings.ts"
export {
  type NodeNumbers,
  type NodeRole,
  NodeSettings,
  nodeSettingsConfig,
  NodeSettingsInvalid
} from "./services/NodeSettings.ts"
export {
  portMappingConfig,
  type PortMappingNumbers,
  PortMappingSettings,
  PortMappingSettingsInvalid
} from "./services/PortMappingSettings.ts"
export {
  type RegistryNumbers,
  RegistrySettings,
  registrySettingsConfig,
  RegistrySettingsInvalid
} from "./services/RegistrySettings.ts"
export {
  type RelayServerNumbers,
  RelayServerSettings,
  relayServerSettingsConfig,
  RelayServerSettingsInvalid
} from "./services/RelayServerSettings.ts"
export {
  type RelayNumbers,
  RelaySettings,
  relaySettingsConfig,
  RelaySettingsInvalid
} from "./services/RelaySettings.ts"
export {
  type SessionNumbers,
  SessionSettings,
  sessionSettingsConfig,
  SessionSettingsInvalid
} from "./services/SessionSettings.ts"

// Layers that run anywhere
export * as CausewayLive from "./layers/CausewayLive.ts"
export * as ConnectionRegistryLive from "./layers/ConnectionRegistryLive.ts"
export * as DirectLinksLive from "./layers/DirectLinksLive.ts"
export * as EntropyWebCrypto from "./layers/EntropyWebCrypto.ts"
export * as IdentityFresh from "./layers/IdentityFresh.ts"
export * as NetCryptoBridgeLive from "./layers/NetCryptoBridgeLive.ts"
export * as NetCryptoLive from "./layers/NetCryptoLive.ts"
export * as NodePhaseLive from "./layers/NodePhaseLive.ts"
export * as PeerConnectionBuilderLive from "./layers/PeerConnectionBuilderLive.ts"
export * as RelayClientLive from "./layers/RelayClientLive.ts"
export * as RelayServerLive from "./layers/RelayServerLive.ts"
export * as ToxCryptoWasm from "./layers/ToxCryptoWasm.ts"
