/**
 * `DirectLinks` on any `DirectTransport`: one listener, or none; who is expected; announced attempts and static groups. How connections become
 * a link is `Meeting`'s business, what callers get `DirectCalls`', dialling `directDial`'s.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { offered, toDial } from "../protocol/direct/directEndpoints.ts"
import { derive, type DirectKeys, pskIdentityOf, pskOf, wipeKeys } from "../protocol/direct/directKeys.ts"
import { type Expected, ExpectedConnections } from "../protocol/direct/ExpectedConnections.ts"
import { equalBytes, isGreater, type PublicKey, toHex } from "../schema/Bytes.ts"
import { attemptSize, directRoles, maxEndpoints } from "../schema/DirectPacket.ts"
import type { IpEndpoint } from "../schema/IpEndpoint.ts"
import * as Reason from "../services/DirectError.ts"
import { DirectError } from "../services/DirectError.ts"
import { type DirectAttempt, type DirectLink, DirectLinks } from "../services/DirectLinks.ts"
import { type DirectSettingsInvalid, validDirectSettings } from "../services/DirectSettings.ts"
import { DirectTransport } from "../services/DirectTransport.ts"
import { Entropy } from "../services/Entropy.ts"
import { Identity } from "../services/Identity.ts"
import { type NodeSettingsInvalid, validNodeSettings } from "../services/NodeSettings.ts"
import { mappedEndpoints } from "../services/PortMapping.ts"
import type { TransportError } from "../services/RelayTransport.ts"
import { ToxCrypto } from "../services/ToxCrypto.ts"
import { type Appointment, DirectCalls } from "./directCalls.ts"
import { dial, type DialOptions } from "./directDial.ts"
import { DirectGroup, type GroupMember } from "./directGroup.ts"
import { Meeting } from "./directMeeting.ts"
import { DirectRejections } from "./directRejections.ts"
import { monotonicMillis } from "./monotonicMillis.ts"
import * as Waiters from "./waitUntil.ts"

/** Whether, and where, peers can call. */
export interface DirectLinksOptions {
  /**
   * Where to be called at; port 0 takes a free port. Without it, and as a client (`NodeSettings`), we only dial. With a `PortMapping` in the
   * context its port is mapped.
   */
  readonly listen?: { readonly host: string; readonly port: number }
}

const ended = new Reason.NotReached({ detail: "this node has ended" })

type Announcement = Pick<DirectAttempt, "identityKey" | "attempt" | "announcedBy">

/** Direct links until the layer's scope closes, which ends them all. Fails when the address cannot be bound, or a
 * setting is out of its range. */
export const layer = (
  options: DirectLinksOptions = {}
): Layer.Layer<
  DirectLinks,
  TransportError | DirectSettingsInvalid | NodeSettingsInvalid,
  DirectTransport | Identity | ToxCrypto | Entropy
> =>
  Layer.effect(
    DirectLinks,
    Effect.gen(function*() {
      const transport = yield* DirectTransport
      const crypto = yield* ToxCrypto
      const entropy = yield* Entropy
      const numbers = yield* validDirectSettings
      const { identity } = yield* Identity
      const now = monotonicMillis(yield* Clock.Clock)
      const rejections = new DirectRejections()
      const changed = Waiters.make()
      let isOver = false

      const group = new DirectGroup(identity.publicKey)
      const expected = new ExpectedConnections<Appointment>(
        {
          capacity: numbers.maxExpectations,
          perPeer: numbers.maxExpectationsPerPeer,
          lifetime: numbers.expectationLifetime
        },
        ({ meeting, psk }) => {
          psk.fill(0)
          meeting.expire()
        }
      )
      const live = new Set<Meeting>()
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          isOver = true
          expected.clear()
          group.clear()
          for (const meeting of live) meeting.end()
        })
      )

      const calls = new DirectCalls({
        numbers,
        expected,
        group,
        now,
        onRejected: rejections.publish
      })
      // A client is not called (row M03).
      const listen = (yield* validNodeSettings).role === "client" ? undefined : options.listen
      const listener = listen && (yield* transport.listen(listen, calls.pskOf))
      const mapped = listener && (yield* mappedEndpoints(listener.port))
      if (listener !== undefined) yield* Effect.forkScoped(listener.serve(calls.serve, calls.onRefused))

      // Connections of attempts that nobody has taken over end with their announcement.
      yield* Effect.gen(function*() {
        yield* changed.until(() => expected.size > 0 ? Effect.void : undefined)
        yield* Effect.sleep(Math.max(1, Math.ceil(expected.nextExpiry - now())))
        expected.expire(now())
      }).pipe(Effect.forever, Effect.forkScoped)

      const fail = (peer: PublicKey, reason: Reason.DirectErrorReason) =>
        Effect.fail(new DirectError({ peer: toHex(peer), reason }))
      const areGreater = (peer: PublicKey): boolean => isGreater(identity.publicKey, peer)
      const endpoints = listener === undefined
        ? Effect.succeed<ReadonlyArray<IpEndpoint>>([])
        : Effect.map(
          transport.addresses,
          // Where the gateway leads to us comes first: it is what most peers can dial.
          (addresses) => [...(mapped?.() ?? []), ...offered(listener, addresses)].slice(0, maxEndpoints)
        )

      /** The keys that we share with a peer; the caller wipes them. */
      const keysOf = (peer: PublicKey): Effect.Effect<DirectKeys, DirectError> =>
        Effect.suspend(() => {
          if (isOver) return fail(peer, ended)
          if (equalBytes(peer, identity.publicKey)) {
            return fail(peer, new Reason.HandshakeFailed({ detail: "its key is our own" }))
          }
          const secret = crypto.sharedSecret(peer, identity.secretKey)
          if (secret === undefined) return fail(peer, new Reason.HandshakeFailed({ detail: "its key cannot be used" }))
          const keys = derive(secret, identity.publicKey, peer)
          crypto.wipe(secret)
          return Effect.succeed(keys)
        })

      const makeMeeting = (peer: PublicKey, streams: number): Meeting =>
        new Meeting({ peer, greater: areGreater(peer), streams, waiters: Waiters.make() })

      const announce = (announcement: Announcement): Effect.Effect<Expected<Appointment>, DirectError> =>
        Effect.gen(function*() {
          const { announcedBy, attempt, identityKey } = announcement
          const known = expected.find({ peer: identityKey, attempt, announcedBy }, now())
          if (known !== undefined) return known
          const keys = yield* keysOf(identityKey)
          const theirCall = pskIdentityOf(keys, attempt, identityKey)
          const ourCall = pskIdentityOf(keys, attempt, identity.publicKey)
          const fate = expected.fate(theirCall)
          const entry = fate === undefined
            ? expected.expect({ peer: identityKey, attempt, announcedBy, theirCall, ourCall }, now(), () => ({
              meeting: makeMeeting(identityKey, numbers.parallelism),
              psk: pskOf(keys, attempt)
            }))
            : undefined
          wipeKeys(keys)
          if (fate !== undefined) return yield* fail(identityKey, new Reason[fate]())
          if (entry === undefined) return yield* fail(identityKey, new Reason.TooManyExpected())
          changed.wake()
          return entry
        })

      /** Dials in the background, and gives up when nothing is left to try that could still succeed. */
      const dialling = (dials: Omit<DialOptions, "transport" | "numbers">, canBeCalled: boolean) =>
        dial({ ...dials, transport, numbers }).pipe(
          Effect.andThen(Effect.sync(() => {
            if (!canBeCalled && !dials.meeting.isDecided(0)) dials.meeting.end()
          })),
          Effect.forkScoped
        )

      /** Waits for the link of a meeting, which the scope ends; the end of its announcement ends it as well. */
      const linkOf = (
        meeting: Meeting,
        failures: ReadonlyArray<string>,
        onMade: () => void,
        patience = numbers.attemptTimeout
      ) => {
        const { peer, waiters } = meeting.options
        const notReached = (detail: string) =>
          fail(peer, new Reason.NotReached({ detail: [...failures, detail].join("; ") }))
        return waiters.until<DirectLink, DirectError>(() => {
          const link = meeting.takeLink()
          if (link !== undefined) {
            onMade()
            return Effect.succeed(link)
          }
          return meeting.isEnded ? notReached("no connection was left to wait for") : undefined
        }).pipe(
          Effect.timeoutOrElse({
            duration: patience,
            orElse: () => notReached(`no connection within ${patience} ms`)
          })
        )
      }

      const owned = (meeting: Meeting, onEnd: () => void) =>
        Effect.acquireRelease(
          Effect.sync(() => live.add(meeting)),
          () =>
            Effect.sync(() => {
              live.delete(meeting)
              onEnd()
              meeting.end()
            })
        )

      const groupPeer = Effect.fnUntraced(function*(identityKey: PublicKey) {
        const keys = yield* keysOf(identityKey)
        const peer = group.peer(identityKey, keys)
        if (peer.keys !== keys) wipeKeys(keys)
        return peer
      })

      return DirectLinks.of({
        endpoints,
        rejections: rejections.stream,
        rejected: Effect.sync(() => ({ ...rejections.counts })),
        expect: Effect.fn("DirectLinks.expect")(function*(announcement) {
          yield* Effect.acquireRelease(announce(announcement), (entry) => Effect.sync(() => expected.leave(entry)))
        }),
        meet: Effect.fn("DirectLinks.meet")(function*(attempt) {
          return yield* leavingNothing(Effect.gen(function*() {
            const { identityKey } = attempt
            const entry = yield* announce(attempt)
            if (!expected.take(entry)) return yield* fail(identityKey, new Reason.Replayed())
            const { meeting, psk } = entry.value
            yield* owned(meeting, () => expected.withdraw(entry))
            const own = yield* endpoints
            const failures: Array<string> = []
            yield* dialling({
              meeting,
              secret: { pskIdentity: entry.ourCall, psk },
              hello: {
                identityKey: identity.publicKey,
                attempt: entry.attempt,
                role: attempt.announcedBy === "us" ? directRoles.dialler : directRoles.listener
              },
              endpoints: toDial(attempt.known ?? [], attempt.endpoints, { allowPrivate: numbers.allowPrivate, own }),
              // Nobody can dial us, so there is nobody to wait for.
              delay: areGreater(identityKey) || own.length === 0 ? 0 : numbers.lowerDialDelay,
              onFailed: (what) => failures.push(what)
            }, listener !== undefined)
            return yield* linkOf(meeting, failures, () => expected.complete(entry), attempt.patience)
          }))
        }),
        dial: Effect.fn("DirectLinks.dial")(function*(identityKey, endpoints, streams = numbers.parallelism) {
          return yield* leavingNothing(Effect.gen(function*() {
            const peer = yield* groupPeer(identityKey)
            if (!areGreater(identityKey)) return yield* fail(identityKey, new Reason.WrongDirection())
            const attempt = entropy.bytes(attemptSize)
            const psk = pskOf(peer.keys, attempt)
            const meeting = makeMeeting(identityKey, streams)
            peer.dialling++
            yield* owned(meeting, () => {
              peer.dialling--
              psk.fill(0)
            })
            const failures: Array<string> = []
            yield* dialling({
              meeting,
              secret: { pskIdentity: pskIdentityOf(peer.keys, attempt, identity.publicKey), psk },
              hello: { identityKey: identity.publicKey, attempt, role: directRoles.nobody },
              endpoints,
              delay: 0,
              onFailed: (what) => failures.push(what)
            }, false)
            return yield* linkOf(meeting, failures, () => undefined)
          }))
        }),
        accept: Effect.fn("DirectLinks.accept")(function*(identityKey, streams = numbers.parallelism) {
          return yield* leavingNothing(Effect.gen(function*() {
            const peer = yield* groupPeer(identityKey)
            if (areGreater(identityKey)) return yield* fail(identityKey, new Reason.WrongDirection())
            return yield* nextLink(peer, streams, live)
          }))
        })
      })
    })
  )

/** The next link that a peer of the group dials. Its scope owns it. */
const nextLink = (
  peer: GroupMember,
  streams: number,
  live: Set<Meeting>
): Effect.Effect<DirectLink, DirectError, Scope.Scope> =>
  Effect.gen(function*() {
    let taken: Meeting | undefined = undefined as Meeting | undefined
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        if (taken === undefined) return
        live.delete(taken)
        taken.end()
      })
    )
    const waiting = { streams }
    peer.awaiting.add(waiting)
    return yield* peer.waiters.until<DirectLink, DirectError>(() => {
      if (peer.isOver) return Effect.fail(new DirectError({ peer: toHex(peer.key), reason: ended }))
      const found = peer.takeLink()
      if (found === undefined) return undefined
      taken = found.meeting
      live.add(taken)
      return Effect.succeed(found.link)
    }).pipe(
      Effect.ensuring(Effect.sync(() => {
        peer.awaiting.delete(waiting)
        if (peer.awaiting.size === 0) peer.endAll()
      }))
    )
  })

/** Runs it in a scope of its own inside the caller's, which is closed at once when it comes to nothing. */
const leavingNothing = <A, E>(
  effect: Effect.Effect<A, E, Scope.Scope>
): Effect.Effect<A, E, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const scope = yield* Scope.fork(yield* Effect.scope)
      return yield* restore(Scope.provide(effect, scope)).pipe(
        Effect.onExit((exit) => Exit.isSuccess(exit) ? Effect.void : Scope.close(scope, exit))
      )
    })
  )
