/** The node that a command runs: the one place in the command that chooses an identity. */
import type * as Layer from "effect/Layer"
import * as CausewayNode from "../layers/CausewayNode.ts"
import * as IdentityFile from "../layers/IdentityFile.ts"
import * as IdentityFresh from "../layers/IdentityFresh.ts"

/** The node with the identity in that file; `undefined` is a fresh identity. */
export const layer = (identityFile: string | undefined) =>
  CausewayNode.layer(identityFile === undefined ? IdentityFresh.layer : IdentityFile.layer(identityFile))

/** What such a node offers. */
export type Node = Layer.Success<ReturnType<typeof layer>>
