/** A stream of a group: what its receiver asks for while it is given what came early. */
import { assert, describe, it } from "@effect/vitest"
import { GroupStream } from "../../src/layers/groupStream.ts"
import * as WaitUntil from "../../src/layers/waitUntil.ts"
import { LinkControl, LinkHello, linkVersion } from "../../src/schema/LinkControl.ts"
import type { DirectStream, DirectStreamHandlers } from "../../src/services/DirectTransport.ts"

const instanceId = new Uint8Array(16).fill(3)

describe("GroupStream", () => {
  it("stays held when its receiver holds it in the middle of the bytes behind the hello", () => {
    const holds: Array<boolean> = []
    const under: Array<DirectStreamHandlers> = []
    const stream: DirectStream = {
      remote: { host: "192.0.2.1", port: 1 },
      keyExchange: "none",
      pskIdentity: "",
      handle: (handlers) => under.push(handlers),
      write: () => true,
      hold: (held) => holds.push(held),
      destroy: () => undefined
    }
    const group = new GroupStream(stream, instanceId, WaitUntil.make())
    const hello = LinkControl.encode(LinkHello.make({ version: linkVersion, instanceId }))
    under[0]?.onBytes(Uint8Array.of(...hello, 1, 2, 3))
    assert.deepStrictEqual(holds, [true])
    const seen: Array<number> = []
    group.handle({
      onBytes: (bytes) => {
        seen.push(...bytes)
        group.hold(true)
      },
      onWritable: () => undefined,
      onClosed: () => undefined
    })
    assert.deepStrictEqual(seen, [1, 2, 3])
    assert.isTrue(holds.at(-1))
    group.hold(false)
    assert.isFalse(holds.at(-1))
  })
})
