/** Calling a peer, with the deadline that every command puts around it. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { toHex } from "../schema/Bytes.ts"
import { NetCrypto, type NetCryptoConnection, type PeerAddress } from "../services/NetCrypto.ts"
import type { NetCryptoError } from "../services/NetCryptoError.ts"
import { CommandFailed } from "./failure.ts"

/** Longer than net_crypto's eight tries: it only matters when the relays are lost meanwhile, because such tries do not count. */
const callTimeout = "30 seconds"

/** The connection to a peer; the scope closes it. Fails when the peer does not answer, or no relay carries the question. */
export const call = Effect.fnUntraced(function*(
  peer: PeerAddress
): Effect.fn.Return<NetCryptoConnection, NetCryptoError | CommandFailed, NetCrypto | Scope.Scope> {
  const netCrypto = yield* NetCrypto
  const detail =
    `peer ${toHex(peer.identityKey).slice(0, 16)} was not reached within 30 s; check that it runs and that one of ` +
    "its relays is reachable from here"
  const connected = netCrypto.connect(peer).pipe(
    Effect.timeoutOrElse({ duration: callTimeout, orElse: () => Effect.fail(new CommandFailed({ detail })) })
  )
  return yield* Effect.acquireRelease(connected, (connection) => connection.close, { interruptible: true })
})
