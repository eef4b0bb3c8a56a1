/**
 * Direct links of the nodes of a simulated world: the real layers on a machine of their own in the network, with everything that they make
 * or turn away counted, and the attempts that hostile callers may use again.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as DirectLinksLive from "../../layers/DirectLinksLive.ts"
import { derive, pskIdentityOf, pskOf, wipeKeys } from "../../protocol/direct/directKeys.ts"
import { type PublicKey, toHex } from "../../schema/Bytes.ts"
import { DirectLinks } from "../../services/DirectLinks.ts"
import type { DirectNumbers } from "../../services/DirectSettings.ts"
import type { DirectSecret } from "../../services/DirectTransport.ts"
import { Identity } from "../../services/Identity.ts"
import { ToxCrypto } from "../../services/ToxCrypto.ts"
import * as DirectTransportMemory from "../DirectTransportMemory.ts"
import { type MemoryAddress, MemoryNetwork } from "../MemoryNetwork.ts"
import type { Dice } from "./Dice.ts"
import type { Trace } from "./Trace.ts"
import type { Machine } from "./Traffic.ts"

/** An attempt that a node has made: who had it may try it again. */
export interface UsedAttempt {
  /** The node, and whom it wanted to meet. */
  readonly node: string
  readonly peer: string
  readonly secret: DirectSecret
}

export interface SimulatedDirectOptions {
  readonly network: MemoryNetwork["Service"]
  readonly trace: Trace
  readonly nameOf: (identity: string) => string
  /** What has been tried so far, to which its nodes add. */
  readonly attempts: Array<UsedAttempt>
}

/** Quick enough for a world of half a minute. Half of the worlds let both sides dial at the same time. */
export const numbersOf = (dice: Dice, numbers: DirectNumbers): DirectNumbers => ({
  ...numbers,
  allowPrivate: true,
  parallelism: dice.between(1, 3),
  lowerDialDelay: dice.pick([0, 0, 500, 3_000])!,
  expectationLifetime: dice.chance(1 / 2) ? 3_000 : numbers.expectationLifetime,
  attemptTimeout: dice.between(1_000, 3_000),
  directRetryMin: 100,
  directRetryMax: dice.between(500, 4_000),
  quietPeriod: dice.between(100, 2_000),
  addressInterval: 1_000,
  warmRelay: dice.chance(1 / 8)
})

export const layer = (options: SimulatedDirectOptions, { context, directAddress, name }: Machine) => {
  const { attempts, nameOf, network, trace } = options
  const counted = Layer.effect(
    DirectLinks,
    Effect.gen(function*() {
      const links = yield* DirectLinks
      const crypto = yield* ToxCrypto
      const { identity } = yield* Identity
      yield* Effect.forkScoped(
        Stream.runForEach(
          links.rejections,
          ({ reason }) => Effect.sync(() => trace.count(`direct caller ${reason._tag}`, name))
        )
      )

      const note = (peer: PublicKey, attempt: Uint8Array): void => {
        const shared = crypto.sharedSecret(peer, identity.secretKey)
        if (shared === undefined) return
        const keys = derive(shared, identity.publicKey, peer)
        const pskIdentity = pskIdentityOf(keys, attempt, identity.publicKey)
        attempts.push({ node: name, peer: nameOf(toHex(peer)), secret: { pskIdentity, psk: pskOf(keys, attempt) } })
        wipeKeys(keys)
      }
      return DirectLinks.of({
        ...links,
        meet: (attempt) =>
          Effect.suspend(() => {
            note(attempt.identityKey, attempt.attempt)
            return links.meet(attempt)
          }).pipe(
            Effect.tap(({ roles }) =>
              Effect.sync(() => {
                for (const role of roles) trace.count(`direct stream ${role}`, name)
              })
            ),
            Effect.tapError(({ reason }) => Effect.sync(() => trace.count(`direct attempt ${reason._tag}`, name)))
          )
      })
    })
  )
  return counted.pipe(
    Layer.provide(DirectLinksLive.layer({ listen: directAddress })),
    Layer.provide(DirectTransportMemory.transportOf(directAddress.host)),
    Layer.provide(Layer.succeed(MemoryNetwork, network)),
    Layer.provide(Layer.succeedContext(context)),
    Layer.orDie
  )
}

/** Whether a connection of the network is one between the machines of direct links. */
export const isDirect = ({ host }: MemoryAddress): boolean => host.startsWith("10.")
