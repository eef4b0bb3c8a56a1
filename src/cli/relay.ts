/** `causeway relay`: a relay in this process until a signal ends it. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { networkInterfaces } from "node:os"
import * as EntropyLive from "../layers/EntropyLive.ts"
import * as IdentityFile from "../layers/IdentityFile.ts"
import * as RelayServerLive from "../layers/RelayServerLive.ts"
import * as RelayTransportNode from "../layers/RelayTransportNode.ts"
import * as ToxCryptoAuto from "../layers/ToxCryptoAuto.ts"
import { toHex } from "../schema/Bytes.ts"
import { formatRelayAddress, type RelayAddress } from "../schema/RelayAddress.ts"
import { generateKeyPair } from "../services/Identity.ts"
import { RelayServer } from "../services/RelayServer.ts"
import { listenFailure } from "./listenFailure.ts"
import * as Output from "./output.ts"

export interface Input {
  readonly host: string
  readonly port: number
  readonly identity: Option.Option<string>
  readonly json: boolean
}

/** The addresses under which a relay bound to all interfaces can be reached from here and from its networks. */
const reachable = (address: RelayAddress): ReadonlyArray<RelayAddress> => {
  if (address.host !== "0.0.0.0" && address.host !== "::") return [address]
  const family = address.host === "::" ? undefined : "IPv4"
  return Object.values(networkInterfaces()).flatMap((entries) => entries ?? [])
    .filter((entry) => (family === undefined || entry.family === family) && !entry.address.startsWith("fe80:"))
    .map((entry) => ({ ...address, host: entry.address }))
}

/**
 * A parent that opened a channel wants the relay for itself: it ends with the parent, however that ended. `connected` is undefined
 * without a channel, and false once the channel has been closed, which may be before anybody listens for it.
 */
const parentGone = Effect.callback<void>((resume) => {
  if (process.connected === undefined) return
  process.once("disconnect", () => resume(Effect.void))
  if (!process.connected) resume(Effect.void)
})

const serve = (input: Input, output: Output.Output) =>
  Effect.gen(function*() {
    const { address } = yield* RelayServer
    const addresses = reachable(address).map(formatRelayAddress)
    yield* output.event(
      {
        event: "listening",
        host: address.host,
        port: address.port,
        publicKey: toHex(address.publicKey),
        addresses
      },
      addresses.join("\n")
    )
    if (Option.isNone(input.identity)) {
      yield* output.note("this key is gone when the relay stops; to keep it: causeway keygen, then --identity FILE")
    }
    yield* parentGone
  })

export const run = (input: Input) =>
  Effect.gen(function*() {
    const output = Output.make({ json: input.json, events: "stdout" })
    const keyPair = Option.isSome(input.identity)
      ? (yield* IdentityFile.load(input.identity.value)).dht
      : yield* generateKeyPair
    const server = RelayServerLive.layer({ host: input.host, port: input.port, keyPair })
    yield* serve(input, output).pipe(
      Effect.provide(server),
      Effect.catchTag("TransportError", (error) =>
        Effect.fail(listenFailure(input, { host: "--host", port: "--port" }, error)))
    )
  }).pipe(
    Effect.scoped,
    Effect.provide(Layer.mergeAll(EntropyLive.layer, ToxCryptoAuto.layer, RelayTransportNode.layer))
  )
