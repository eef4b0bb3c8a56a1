/** Tickets as the commands write and read them. A ticket that cannot be used is wrong usage. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { IpEndpoint } from "../schema/IpEndpoint.ts"
import type { RelayAddress } from "../schema/RelayAddress.ts"
import { decodeTicket, encodeTicket, type Ticket } from "../schema/Ticket.ts"
import type { IdentityKeys } from "../services/Identity.ts"
import { ToxCrypto } from "../services/ToxCrypto.ts"
import { WrongUsage } from "./failure.ts"

const orWrongUsage = <A>(result: Result.Result<A, Error>): Effect.Effect<A, WrongUsage> =>
  Result.match(result, {
    onSuccess: (value) => Effect.succeed(value),
    onFailure: (error) => new WrongUsage({ detail: error.message })
  })

const isLoopback = ({ host }: IpEndpoint): boolean => host === "::1" || host.startsWith("127.")

/**
 * The ticket of an identity that is reached through these relays, and at these endpoints. Addresses that only this machine has are of
 * no use to others, so they are named only where there are no others: for trials on one machine.
 */
export const write = Effect.fnUntraced(function*(
  keys: IdentityKeys,
  relays: ReadonlyArray<RelayAddress>,
  endpoints: ReadonlyArray<IpEndpoint> = []
): Effect.fn.Return<string, WrongUsage, ToxCrypto> {
  const crypto = yield* ToxCrypto
  const reachable = endpoints.filter((endpoint) => !isLoopback(endpoint))
  const ticket = {
    identityKey: keys.identity.publicKey,
    dhtKey: keys.dht.publicKey,
    relays,
    endpoints: reachable.length > 0 ? reachable : endpoints
  }
  return yield* orWrongUsage(encodeTicket(ticket, crypto.sha512))
})

/** Reads a ticket and checks that it names a relay, the only way to a peer that this command knows. */
export const read = Effect.fnUntraced(function*(text: string): Effect.fn.Return<Ticket, WrongUsage, ToxCrypto> {
  const crypto = yield* ToxCrypto
  const ticket = yield* orWrongUsage(decodeTicket(text, crypto.sha512))
  if (ticket.relays.length === 0) {
    return yield* new WrongUsage({ detail: "the ticket names no relay; ask for a ticket that was made with --relay" })
  }
  return ticket
})
