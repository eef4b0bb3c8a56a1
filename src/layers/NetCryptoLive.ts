/**
 * net_crypto over the bridge: one `CryptoPeer` per identity key, one fiber per peer that sleeps until its next deadline. Packets are
 * handled by plain code in the middle of a read; what is done once per read is done when the bridge says that the batch is over.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberMap from "effect/FiberMap"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import { CookieJar } from "../protocol/net-crypto/CookieJar.ts"
import { CryptoPeer } from "../protocol/net-crypto/CryptoPeer.ts"
import type { CryptoSession } from "../protocol/net-crypto/CryptoSession.ts"
import { DhtCiphers } from "../protocol/net-crypto/DhtCiphers.ts"
import { HandshakeLimits } from "../protocol/net-crypto/HandshakeLimits.ts"
import * as Handshake from "../protocol/net-crypto/netCryptoHandshake.ts"
import { PayloadSlab } from "../protocol/net-crypto/PayloadSlab.ts"
import type { EndReason, PeerHost } from "../protocol/net-crypto/PeerHost.ts"
import type { ReplyRoute } from "../protocol/registry/PeerPath.ts"
import { equalBytes, type PublicKey, toHex } from "../schema/Bytes.ts"
import { Entropy } from "../services/Entropy.ts"
import { Identity } from "../services/Identity.ts"
import { NetCrypto, type PeerAddress } from "../services/NetCrypto.ts"
import { NetCryptoBridge } from "../services/NetCryptoBridge.ts"
import * as Failure from "../services/NetCryptoError.ts"
import { validNetCryptoSettings } from "../services/NetCryptoSettings.ts"
import { validNodeSettings } from "../services/NodeSettings.ts"
import { ToxCrypto } from "../services/ToxCrypto.ts"
import { monotonicMillis } from "./monotonicMillis.ts"
import { NetCryptoChannel } from "./netCryptoChannel.ts"
import * as peerTimer from "./peerTimer.ts"

/** Connections that wait for `accept`; more are closed again. */
const maxWaiting = 64

/** Connections until the scope closes, which ends each with a kill packet. Fails when a setting is out of its range. */
export const layer = Layer.effect(
  NetCrypto,
  Effect.gen(function*() {
    const bridge = yield* NetCryptoBridge
    const crypto = yield* ToxCrypto
    const { fill } = yield* Entropy
    const { dht, identity } = yield* Identity
    const numbers = yield* validNetCryptoSettings
    const isClient = (yield* validNodeSettings).role === "client"
    const now = monotonicMillis(yield* Clock.Clock)
    const jar = yield* Effect.acquireRelease(
      Effect.sync(() => new CookieJar(crypto, fill, numbers.cookieLifetime)),
      (cookies) => Effect.sync(() => cookies.dispose())
    )
    const ciphers = yield* Effect.acquireRelease(
      Effect.sync(() => new DhtCiphers(crypto, dht.secretKey)),
      (cached) => Effect.sync(() => cached.dispose())
    )
    const limits = new HandshakeLimits(numbers.handshakesPerRelay, numbers.handshakesPerSource)
    const timers = yield* FiberMap.make<string>()
    const run = yield* FiberMap.runtime(timers)<never>()
    const incoming = yield* Queue.dropping<NetCryptoChannel>(maxWaiting)

    const peers = new Map<string, { readonly peer: CryptoPeer; readonly timer: peerTimer.PeerTimer }>()
    const channels = new Map<CryptoSession, NetCryptoChannel>()
    const callers = new Map<string, Set<Deferred.Deferred<NetCryptoChannel, Failure.NetCryptoError>>>()
    const touched = new Set<CryptoSession>()
    let isWanted: (identityKey: PublicKey) => boolean = () => false

    const fail = (peer: string, reason: Failure.NetCryptoErrorReason) => new Failure.NetCryptoError({ peer, reason })

    const host: PeerHost = {
      numbers,
      crypto,
      fill,
      jar,
      identity,
      dht,
      now,
      slab: new PayloadSlab(),
      budget: { used: 0, limit: numbers.receiveBufferTotal },
      openPath: bridge.open,
      onLossless: (session, payload) => channels.get(session)?.onLossless(payload),
      onLossy: (session, payload) => channels.get(session)?.onLossy(payload),
      onWritable: (session) => channels.get(session)?.onWritable(),
      onWoken: (session, by) => channels.get(session)?.onWoken(by),
      onAcknowledged: (session) => channels.get(session)?.onAcknowledged(),
      onTouched: (session) => touched.add(session),
      onEstablished: (peer, session) => {
        const { id } = peer
        const channel = new NetCryptoChannel(peer, session)
        channels.set(session, channel)
        const waiting = callers.get(id)
        callers.delete(id)
        if (waiting !== undefined) {
          for (const caller of waiting) Deferred.doneUnsafe(caller, Effect.succeed(channel))
        } else if (!Queue.offerUnsafe(incoming, channel)) peer.close()
      },
      onEnded: (peer, session, reason) => {
        const { id } = peer
        const error = fail(id, endReason(reason, numbers.connectionTimeout))
        if (session !== undefined) {
          touched.delete(session)
          channels.get(session)?.end(error)
          channels.delete(session)
        }
        if (!peer.isIdle) return
        const waiting = callers.get(id)
        callers.delete(id)
        for (const caller of waiting ?? []) Deferred.doneUnsafe(caller, Effect.fail(error))
        forget(peer)
      },
      onHandshake: (bytes, route) => onHandshake(bytes, route),
      answerCookieRequest: (bytes, reply) => answerCookieRequest(bytes, undefined, reply),
      wake: (peer) => peers.get(peer.id)?.timer.wake()
    }

    /** Undefined when another identity is reached by this DHT key: one path cannot serve two. */
    const enlist = (identityKey: PublicKey, dhtKey: PublicKey): CryptoPeer | undefined => {
      const id = toHex(identityKey)
      const known = peers.get(id)
      for (const { peer } of peers.values()) if (peer !== known?.peer && peer.uses(dhtKey)) return undefined
      if (known !== undefined) return known.peer
      const peer = new CryptoPeer(host, identityKey.slice() as PublicKey, dhtKey)
      const timer = peerTimer.make(peer, now)
      peers.set(id, { peer, timer })
      run(id, timer.run)
      return peer
    }

    const peerAt = (dhtKey: PublicKey): CryptoPeer | undefined => {
      for (const { peer } of peers.values()) if (peer.uses(dhtKey)) return peer
      return undefined
    }

    const forget = (peer: CryptoPeer): void => {
      const { id } = peer
      if (peers.get(id)?.peer !== peer) return
      peers.get(id)!.timer.stop()
      peers.delete(id)
      peer.close()
    }

    const answerCookieRequest = (
      bytes: Uint8Array,
      sender: PublicKey | undefined,
      reply: (packet: Uint8Array) => boolean
    ): void => {
      const request = Handshake.readCookieRequest(bytes)
      if (request === undefined || (sender !== undefined && !equalBytes(sender, request.senderDhtKey))) return
      const cipher = ciphers.get(request.senderDhtKey)
      const answer = cipher && Handshake.answerCookieRequest(request, cipher, jar, now(), fill)
      if (answer !== undefined) reply(answer)
    }

    const onHandshake = (bytes: Uint8Array, route: ReplyRoute): void => {
      const opened = Handshake.openHandshake(crypto, jar, identity.secretKey, bytes, now(), ({ realKey }) => {
        const id = toHex(realKey)
        return !equalBytes(realKey, identity.publicKey) && (peers.has(id) || (!isClient && isWanted(realKey)))
      })
      if (opened === undefined) return
      const peer = enlist(opened.bearer.realKey, opened.bearer.dhtKey)
      if (peer === undefined) return
      peer.onHandshake(opened, route)
      if (peer.isIdle) forget(peer)
    }

    bridge.attach({
      onUnboundPacket: (sender, bytes, route) => {
        const isRequest = bytes[0] === 24
        if (bytes[0] === 27) return peerAt(sender)?.onUnboundPacket(bytes, route)
        if (!isRequest && bytes[0] !== 26) return
        if (!limits.allow(toHex(route.relay.publicKey), toHex(sender), now())) return
        if (!isRequest) return onHandshake(bytes, route)
        const known = peerAt(sender)
        // A client does not even tell strangers that it is there.
        if (isClient && known === undefined) return
        // Within the session first: the cookie alone would tell the peer that there is none.
        known?.onUnboundPacket(bytes, route)
        answerCookieRequest(bytes, sender, route.reply)
      },
      onBatchEnd: () => {
        if (touched.size === 0) return
        const time = now()
        for (const session of touched) {
          session.endBatch(time)
          channels.get(session)?.reschedule()
        }
        touched.clear()
      }
    })

    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const { peer } of peers.values()) peer.close()
      })
    )

    const connect = Effect.fn("NetCrypto.connect")(function*(address: PeerAddress) {
      const id = toHex(address.identityKey)
      if (equalBytes(address.identityKey, identity.publicKey) || equalBytes(address.dhtKey, dht.publicKey)) {
        return yield* fail(id, new Failure.PeerKeyInvalid({ detail: "it is our own" }))
      }
      const before = peers.get(id)?.peer
      // A call under a key that the peer has no longer: whoever waits for it is answered under the new one.
      if (before !== undefined && before.current === undefined && !before.uses(address.dhtKey)) forget(before)
      const peer = enlist(address.identityKey, address.dhtKey)
      if (peer === undefined) {
        return yield* fail(id, new Failure.PeerKeyInvalid({ detail: "its DHT key belongs to another peer" }))
      }
      if (!peer.isReachable) {
        forget(peer)
        return yield* fail(id, new Failure.PeerKeyInvalid({ detail: "its DHT key is no valid key" }))
      }
      for (const relay of address.relays) peer.path.tie(relay)
      const existing = peer.current && channels.get(peer.current)
      if (existing !== undefined) return existing
      const caller = Deferred.makeUnsafe<NetCryptoChannel, Failure.NetCryptoError>()
      const waiting = callers.get(id) ?? new Set()
      callers.set(id, waiting.add(caller))
      peer.call()
      return yield* Deferred.await(caller).pipe(
        Effect.onInterrupt(() =>
          Effect.sync(() => {
            waiting.delete(caller)
            if (waiting.size === 0 && callers.get(id) === waiting) callers.delete(id)
            const called = peers.get(id)?.peer
            if (waiting.size === 0 && called !== undefined && called.current === undefined) forget(called)
          })
        )
      )
    })

    return NetCrypto.of({
      connect,
      accept: Queue.take(incoming),
      setAcceptPolicy: Effect.fn("NetCrypto.setAcceptPolicy")(function*(policy: (identityKey: PublicKey) => boolean) {
        isWanted = policy
      })
    })
  })
)

const endReason = (reason: EndReason, connectionTimeout: number): Failure.NetCryptoErrorReason => {
  switch (reason) {
    case "CookieRequest":
    case "Handshake":
      return new Failure.PeerUnreachable({ stage: reason })
    case "TimedOut":
      return new Failure.PeerTimedOut({ afterMs: connectionTimeout })
    case "Closed":
      return new Failure.PeerClosed()
    case "Restarted":
      return new Failure.PeerRestarted()
    case "ClosedHere":
      return new Failure.ClosedHere()
  }
}
