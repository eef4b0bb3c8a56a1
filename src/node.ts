/**
 * The entry point `effect-causeway/node`: the layers that need Node, each a namespace (`RelayTransportNode.layer`).
 */
export * as CausewayNode from "./layers/CausewayNode.ts"
export * as DirectTransportNode from "./layers/DirectTransportNode.ts"
export * as EntropyLive from "./layers/EntropyLive.ts"
export * as IdentityFile from "./layers/IdentityFile.ts"
export * as PeerConnectionBuilderNode from "./layers/PeerConnectionBuilderNode.ts"
export * as PortMappingNat from "./layers/PortMappingNat.ts"
export * as RelayTransportNode from "./layers/RelayTransportNode.ts"
export * as ToxCryptoAuto from "./layers/ToxCryptoAuto.ts"
export * as ToxCryptoNative from "./layers/ToxCryptoNative.ts"
