/** The peer of a ticket, with the deadline that every command puts around reaching it. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { toHex } from "../schema/Bytes.ts"
import { Causeway, type Peer } from "../services/Causeway.ts"
import type { PeerAddress } from "../services/NetCrypto.ts"
import type { SessionError } from "../services/SessionError.ts"
import { CommandFailed } from "./failure.ts"

/** Longer than net_crypto's eight tries: it only matters when the relays are lost meanwhile, because such tries do not count. */
const callTimeout = "30 seconds"

/** The peer, once there is a link to it; the scope says goodbye. Fails when it does not answer, or no relay carries the question. */
export const reach = Effect.fnUntraced(function*(
  address: PeerAddress
): Effect.fn.Return<Peer, SessionError | CommandFailed, Causeway | Scope.Scope> {
  const causeway = yield* Causeway
  const detail =
    `peer ${toHex(address.identityKey).slice(0, 16)} was not reached within 30 s; check that it runs and that one of ` +
    "its relays is reachable from here"
  return yield* causeway.connect(address).pipe(
    Effect.timeoutOrElse({ duration: callTimeout, orElse: () => Effect.fail(new CommandFailed({ detail })) })
  )
})
