/** The fault proxy tells when it was dialled, whatever becomes of the connection. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { once } from "node:events"
import * as Net from "node:net"
import * as FaultProxy from "../utils/FaultProxy.ts"

/** A port of the loopback interface on which nobody listens any more. */
const deadPort = Effect.promise(async () => {
  const server = Net.createServer().listen({ host: "127.0.0.1", port: 0 })
  await once(server, "listening")
  const { port } = server.address() as Net.AddressInfo
  server.close()
  await once(server, "close")
  return port
})

describe("the dials of a fault proxy", () => {
  it.live("are counted in order, also those to a target that refuses, which are reset", () =>
    Effect.gen(function*() {
      let time = 0
      const target = { host: "127.0.0.1", port: yield* deadPort }
      const proxy = yield* FaultProxy.make({ target, now: () => ++time })
      assert.deepStrictEqual(proxy.dials(), [])
      for (const count of [1, 2]) {
        const code = yield* Effect.promise(async () => {
          const [error] = await once(Net.connect(proxy), "error").catch((error: unknown) => [error])
          return (error as NodeJS.ErrnoException).code
        })
        assert.strictEqual(code, "ECONNRESET")
        assert.lengthOf(proxy.dials(), count)
      }
      const [first = 0, second = 0] = proxy.dials()
      assert.isAbove(second, first)
    }))
})
