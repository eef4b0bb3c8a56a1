/** The node that a command runs: the one place in the command that chooses an identity. */
import type * as Layer from "effect/Layer"
import * as CausewayNode from "../layers/CausewayNode.ts"
import * as IdentityFile from "../layers/IdentityFile.ts"
import * as IdentityFresh from "../layers/IdentityFresh.ts"

const identity = (file: string | undefined) => file === undefined ? IdentityFresh.layer : IdentityFile.layer(file)

/** The node with the identity in that file; `undefined` is a fresh identity. */
export const layer = (identityFile: string | undefined) => CausewayNode.layer(identity(identityFile))

/** The same without sessions: raw net_crypto connections. */
export const netCrypto = (identityFile: string | undefined) => CausewayNode.netCrypto(identity(identityFile))

/** What a whole node offers. */
export type Node = Layer.Success<ReturnType<typeof layer>>
