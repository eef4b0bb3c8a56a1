/**
 * `RelayTransport` over TCP with `node:net` itself: platform-node's sockets are released with `destroySoon`, which keeps those of
 * peers that never read, and their writes are Effects. `nodeTcp` dials and listens, `nodeConnection` is the open stream.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { RelayTransport, type TransportConnection } from "../services/RelayTransport.ts"
import * as connectionAcceptor from "./connectionAcceptor.ts"
import * as nodeConnection from "./nodeConnection.ts"
import * as nodeTcp from "./nodeTcp.ts"

const connect = Effect.fn("RelayTransport.connect")((address: nodeTcp.Address) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const socket = yield* nodeTcp.dial(address, restore)
      const { connection, close } = nodeConnection.make(socket, nodeConnection.remoteAddress(socket) ?? address.host)
      yield* Effect.addFinalizer(() => close)
      return connection
    })
  )
)

const listen = Effect.fn("RelayTransport.listen")((address: nodeTcp.Address) =>
  Effect.gen(function*() {
    const acceptor = yield* connectionAcceptor.make<TransportConnection>()
    const bound = yield* nodeTcp.listen(address, (socket, remoteAddress) =>
      acceptor.offer({
        remoteAddress,
        open: () => nodeConnection.make(socket, remoteAddress),
        reject: () => nodeConnection.destroy(socket)
      }))
    return { ...bound, serve: acceptor.serve }
  })
)

/** Needs no set-up: `Layer.provide(RelayTransportNode.layer)`. */
export const layer: Layer.Layer<RelayTransport> = Layer.succeed(RelayTransport)({ connect, listen })
