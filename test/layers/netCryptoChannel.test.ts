/** What a connection of net_crypto tells its peer's timer, and when. Everything else of it is seen in the tests of `NetCrypto`. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { NetCryptoChannel } from "../../src/layers/netCryptoChannel.ts"
import type { CryptoPeer } from "../../src/protocol/net-crypto/CryptoPeer.ts"
import type { CryptoSession } from "../../src/protocol/net-crypto/CryptoSession.ts"

const packet = Uint8Array.of(160, 1)

/** A channel whose timer, as soon as it is woken, makes room and says so. */
const withHastyTimer = () => {
  const state = { room: 0, wakes: 0 }
  const session = { trySend: () => state.room > 0 && state.room-- > 0, hold: () => undefined }
  const makeRoom = (): void => {
    state.room++
    channel.onWritable()
  }
  const peer = {
    wake: () => {
      state.wakes++
      makeRoom()
    }
  }
  const channel = new NetCryptoChannel(peer as unknown as CryptoPeer, session as unknown as CryptoSession)
  return { channel, makeRoom, state }
}

describe("NetCryptoChannel", () => {
  it("says that there is room only after it has said that there is none", () => {
    const { channel, makeRoom, state } = withHastyTimer()
    const events: Array<string> = []
    channel.handle({
      onLossless: () => undefined,
      onLossy: () => undefined,
      onWritable: () => events.push("room"),
      onClosed: () => undefined
    })
    Object.assign(state, { room: 0, wakes: 0 })
    events.length = 0
    events.push(channel.trySend(packet) ? "sent" : "refused")
    assert.deepStrictEqual(events, ["refused"])
    makeRoom()
    events.push(channel.trySend(packet) ? "sent" : "refused")
    assert.deepStrictEqual(events, ["refused", "room", "room", "sent"])
    assert.strictEqual(state.wakes, 1)
  })

  it.effect("sendAll waits for the room that comes after it was refused", () =>
    Effect.gen(function*() {
      const { channel, makeRoom, state } = withHastyTimer()
      const sending = yield* Effect.forkChild(channel.sendAll([packet]), { startImmediately: true })
      assert.deepInclude(state, { room: 0, wakes: 0 })
      makeRoom()
      yield* Fiber.join(sending)
    }))
})
