/** The node that a command runs: the one place in the command that chooses an identity, and where direct links may go. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as CausewayNode from "../layers/CausewayNode.ts"
import * as IdentityFile from "../layers/IdentityFile.ts"
import * as IdentityFresh from "../layers/IdentityFresh.ts"
import { DirectSettings, directSettingsConfig, type PathPolicy } from "../services/DirectSettings.ts"
import type { TransportError } from "../services/RelayTransport.ts"
import { type CommandFailed, WrongUsage } from "./failure.ts"
import { listenFailure } from "./listenFailure.ts"

/** Which way a command's sessions may go; what is left out comes from `CAUSEWAY_DIRECT_POLICY`, or is the default. */
export interface Paths {
  /** Where to listen for direct links. */
  readonly direct: Option.Option<{ readonly host: string; readonly port: number }>
  readonly policy: Option.Option<PathPolicy>
}

const identity = (file: string | undefined) => file === undefined ? IdentityFresh.layer : IdentityFile.layer(file)

/** What the environment says, unless a flag says otherwise. */
const settings = Effect.fnUntraced(function*({ direct, policy }: Paths) {
  const numbers = yield* directSettingsConfig
  const merged = { ...numbers, policy: Option.getOrElse(policy, () => numbers.policy) }
  if (merged.policy === "relayed" && Option.isSome(direct)) {
    return yield* new WrongUsage({ detail: "--direct is of no use with the policy relayed; leave one of them out" })
  }
  return merged
})

/** The node with the identity in that file; `undefined` is a fresh identity. It provides the settings of its direct links as well. */
export const layer = (identityFile: string | undefined, paths: Paths) =>
  Layer.unwrap(Effect.map(settings(paths), (numbers) => {
    const direct = Option.getOrUndefined(paths.direct)
    const flags = { host: "--direct", port: "--direct" }
    const node = CausewayNode.layer(identity(identityFile), { direct }).pipe(
      Layer.provideMerge(Layer.succeed(DirectSettings, numbers))
    )
    // Nothing else of a node listens while it is built.
    const refused = (error: TransportError): Layer.Layer<Layer.Success<typeof node>, CommandFailed> =>
      Layer.effectContext(Effect.fail(listenFailure(direct ?? { host: "", port: 0 }, flags, error)))
    return Layer.catchTag(node, "TransportError", refused)
  }))

/** The same without sessions: raw net_crypto connections. */
export const netCrypto = (identityFile: string | undefined) => CausewayNode.netCrypto(identity(identityFile))

/** What a whole node offers. */
export type Node = Layer.Success<ReturnType<typeof layer>>
