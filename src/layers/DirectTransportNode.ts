/**
 * `DirectTransport` over TCP and TLS 1.3 with a pre-shared key, by `node:net` and `node:tls`. Dialling, listening and the limits of
 * callers; `nodeDirectTls` secures, `nodeDirectStream` is the open stream.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Net from "node:net"
import * as Os from "node:os"
import { PendingCallers } from "../protocol/direct/PendingCallers.ts"
import type { IpEndpoint } from "../schema/IpEndpoint.ts"
import { DirectSettings } from "../services/DirectSettings.ts"
import {
  type DirectListener,
  type DirectSecret,
  type DirectStream,
  DirectTransport
} from "../services/DirectTransport.ts"
import { TransportError } from "../services/RelayTransport.ts"
import * as connectionAcceptor from "./connectionAcceptor.ts"
import * as nodeConnection from "./nodeConnection.ts"
import * as nodeDirectStream from "./nodeDirectStream.ts"
import * as nodeDirectTls from "./nodeDirectTls.ts"
import * as nodeTcp from "./nodeTcp.ts"

/** An address without its zone, which is of no use to anybody else. */
const withoutZone = (address: string): string => address.replace(/%.*$/, "")

const connect = Effect.fn("DirectTransport.connect")((endpoint: IpEndpoint, secret: DirectSecret) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const raw = yield* nodeTcp.dial(endpoint, restore)
      nodeDirectTls.prepare(raw)
      const { secured, socket } = nodeDirectTls.asClient(raw, secret)
      const keyExchange = yield* restore(secured).pipe(
        Effect.onError(() => Effect.sync(() => socket.destroy()))
      )
      const { close, stream } = nodeDirectStream.make(socket, {
        remote: { host: endpoint.host, port: endpoint.port },
        keyExchange,
        pskIdentity: secret.pskIdentity
      })
      yield* Effect.addFinalizer(() => close)
      return stream
    })
  )
)

/** A caller that has been let in: at first a bare socket, then perhaps a stream. */
interface Caller {
  readonly raw: Net.Socket
  readonly remote: IpEndpoint
  /** What ends it now. */
  close: Effect.Effect<void>
}

const listen = Effect.fnUntraced(function*(
  address: nodeTcp.Address,
  pskOf: (pskIdentity: string, remote: IpEndpoint) => Uint8Array | undefined,
  limits: { readonly pending: PendingCallers; readonly handshakeTimeout: number }
) {
  const { handshakeTimeout, pending } = limits
  const acceptor = yield* connectionAcceptor.make<Caller>()

  const open = (raw: Net.Socket, remoteAddress: string) => {
    const remote = { host: withoutZone(remoteAddress), port: raw.remotePort ?? 0 }
    const caller: Caller = { raw, remote, close: Effect.sync(() => nodeConnection.destroy(raw)) }
    return { connection: caller, close: Effect.suspend(() => caller.close) }
  }

  const secure = (caller: Caller, asked: (pskIdentity: string) => void) =>
    Effect.suspend(() => {
      nodeDirectTls.prepare(caller.raw)
      let pskIdentity = ""
      const { secured, socket } = nodeDirectTls.asServer(caller.raw, (named) => {
        pskIdentity = named
        asked(named)
        return pskOf(named, caller.remote)
      })
      // From here on the socket below is TLS' own. A handshake that failed has ended it already, behind the alert that says why.
      caller.close = Effect.sync(() => socket.destroy())
      return secured.pipe(
        Effect.timeoutOrElse({
          duration: handshakeTimeout,
          orElse: () => Effect.fail(new TransportError({ kind: "Denied", detail: "ETIMEDOUT" }))
        }),
        Effect.map((keyExchange) => {
          const { close, stream } = nodeDirectStream.make(socket, {
            remote: caller.remote,
            keyExchange,
            pskIdentity
          })
          caller.close = close
          return stream
        })
      )
    })

  const serve: DirectListener["serve"] = (handler, onRefused) =>
    acceptor.serve(
      (caller) => {
        let pskIdentity: string | undefined
        return secure(caller, (named) => {
          pskIdentity = named
        }).pipe(
          Effect.ensuring(Effect.sync(() => pending.leave(caller.remote.host))),
          Effect.matchEffect({
            onFailure: (error) => Effect.sync(() => onRefused?.({ remote: caller.remote, pskIdentity, error })),
            onSuccess: (stream: DirectStream) => handler(stream)
          })
        )
      },
      (remoteAddress) => pending.enter(withoutZone(remoteAddress))
    )

  const bound = yield* nodeTcp.listen(address, (raw, remoteAddress) =>
    acceptor.offer({
      remoteAddress,
      open: () => open(raw, remoteAddress),
      reject: () => nodeConnection.destroy(raw)
    }))
  return { ...bound, serve }
})

const addresses = Effect.sync(() => {
  try {
    return Object.values(Os.networkInterfaces()).flatMap((addresses) => addresses ?? [])
      .map(({ address }) => withoutZone(address))
  } catch {
    // Some sandboxes forbid the question.
    return []
  }
})

/** Takes its limits from `DirectSettings` when it is built. Limits of callers are those of each listener. */
export const layer: Layer.Layer<DirectTransport> = Layer.effect(
  DirectTransport,
  Effect.map(DirectSettings, (numbers) =>
    DirectTransport.of({
      connect,
      listen: Effect.fn("DirectTransport.listen")((address, pskOf) =>
        listen(address, pskOf, {
          pending: new PendingCallers(numbers.maxPendingHandshakes, numbers.maxPendingPerAddress),
          handshakeTimeout: numbers.handshakeTimeout
        })
      ),
      addresses
    }))
)
