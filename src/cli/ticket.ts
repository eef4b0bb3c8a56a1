/** `causeway ticket`: prints the ticket of an identity; on a terminal also as a QR code. It connects to nothing. */
import * as Effect from "effect/Effect"
import { renderUnicodeCompact } from "uqr"
import * as IdentityFile from "../layers/IdentityFile.ts"
import * as ToxCryptoAuto from "../layers/ToxCryptoAuto.ts"
import type { RelayAddress } from "../schema/RelayAddress.ts"
import * as Output from "./output.ts"
import * as Tickets from "./tickets.ts"

export interface Input {
  readonly identity: string
  readonly relays: ReadonlyArray<RelayAddress>
  readonly json: boolean
}

export const run = (input: Input) =>
  Effect.gen(function*() {
    const output = Output.make({ json: input.json, events: "stdout" })
    const keys = yield* IdentityFile.load(input.identity)
    const ticket = yield* Tickets.write(keys, input.relays)
    const code = process.stdout.isTTY ? `\n${renderUnicodeCompact(ticket)}` : ""
    yield* output.event({ event: "ticket", ticket }, ticket + code)
  }).pipe(Effect.scoped, Effect.provide(ToxCryptoAuto.layer))
