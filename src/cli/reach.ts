/** The peer of a ticket and its sessions, with the deadlines that every command puts around reaching them. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { toHex } from "../schema/Bytes.ts"
import { Causeway, type CausewayAddress, type Peer } from "../services/Causeway.ts"
import { DirectSettings } from "../services/DirectSettings.ts"
import type { ByteSession } from "../services/Session.ts"
import type { SessionError } from "../services/SessionError.ts"
import { CommandFailed } from "./failure.ts"

/** Longer than net_crypto's eight tries: it only matters when the relays are lost meanwhile, because such tries do not count. */
const callTimeout = "30 seconds"
/** How long a connected peer may take to accept a session. */
const acceptTimeout = "15 seconds"

/** How a line calls a peer: the first digits of its identity key. */
const short = ({ identityKey }: Pick<Peer, "identityKey">): string => `peer ${toHex(identityKey).slice(0, 16)}`

/** The peer, once there is a link to it; the scope says goodbye. Fails when it does not answer, or no relay carries the question. */
export const reach = Effect.fnUntraced(function*(
  address: CausewayAddress
): Effect.fn.Return<Peer, SessionError | CommandFailed, Causeway | Scope.Scope> {
  const causeway = yield* Causeway
  const { policy } = yield* DirectSettings
  const advice = policy === "direct"
    ? "check that it runs and that one of the two listens (--direct) where the other can dial it, or allow relays (--policy auto)"
    : "check that it runs and that one of its relays is reachable from here"
  const detail = `${short(address)} was not reached within 30 s; ${advice}`
  return yield* causeway.connect(address).pipe(
    Effect.timeoutOrElse({ duration: callTimeout, orElse: () => Effect.fail(new CommandFailed({ detail })) })
  )
})

/** A session of bytes with a peer that was reached. `command` is what would accept it there. */
export const openBytes = (
  peer: Peer,
  name: string,
  command: string
): Effect.Effect<ByteSession, SessionError | CommandFailed, Scope.Scope> => {
  const detail = `${short(peer)} did not accept the session within 15 s; check that it runs ${command}`
  return peer.openBytes(name).pipe(
    Effect.timeoutOrElse({ duration: acceptTimeout, orElse: () => Effect.fail(new CommandFailed({ detail })) })
  )
}
