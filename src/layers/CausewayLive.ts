/**
 * `Causeway` over net_crypto: one `PeerLinks` per identity key, which lives as long as there are sessions with the peer, and two fibers
 * for each, one for its links and one for the times of its sessions.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberMap from "effect/FiberMap"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import { SessionCode, type SessionFault } from "../protocol/session/sessionFault.ts"
import { isGreater, type PublicKey, toHex } from "../schema/Bytes.ts"
import { instanceIdSize } from "../schema/LinkControl.ts"
import { Causeway, type CausewayAddress, type ConnectOptions } from "../services/Causeway.ts"
import { DirectLinks } from "../services/DirectLinks.ts"
import { type DirectSettingsInvalid, validDirectSettings } from "../services/DirectSettings.ts"
import { Entropy } from "../services/Entropy.ts"
import { Identity } from "../services/Identity.ts"
import { NetCrypto, type NetCryptoConnection } from "../services/NetCrypto.ts"
import { NodeIsClient, type NodeSettingsInvalid, validNodeSettings } from "../services/NodeSettings.ts"
import type { SessionError } from "../services/SessionError.ts"
import { type SessionSettingsInvalid, validSessionSettings } from "../services/SessionSettings.ts"
import { monotonicMillis } from "./monotonicMillis.ts"
import { PeerHandle } from "./peerHandle.ts"
import { PeerLinks } from "./peerLinks.ts"
import { PeerSessions } from "./peerSessions.ts"
import { errorOfFault } from "./sessionErrors.ts"

const processKeySize = 32

/** Peers that wait for `accept`; more are turned away. */
const maxWaiting = 64

/** Sessions with a peer, for whoever takes them. */
interface Claimable {
  readonly links: PeerLinks
  readonly sessions: PeerSessions
}

/** Peers and sessions until the scope closes, which says goodbye to every peer. Fails when a setting is out of its range. */
export const layer: Layer.Layer<
  Causeway,
  SessionSettingsInvalid | DirectSettingsInvalid | NodeSettingsInvalid,
  NetCrypto | Entropy | Identity
> = Layer.effect(
  Causeway,
  Effect.gen(function*() {
    const entropy = yield* Entropy
    const { identity } = yield* Identity
    const netCrypto = yield* NetCrypto
    const numbers = yield* validSessionSettings
    const isClient = (yield* validNodeSettings).role === "client"
    const now = monotonicMillis(yield* Clock.Clock)
    const directNumbers = yield* validDirectSettings
    // Undefined: a node without direct links, which answers no announcement of them.
    const direct = Option.map(yield* Effect.serviceOption(DirectLinks), (links) => ({
      links,
      numbers: directNumbers,
      entropy,
      processKey: entropy.bytes(processKeySize),
      now
    })).pipe(Option.getOrUndefined)
    const peers = new Map<string, PeerLinks>()
    const over = Deferred.makeUnsafe<void>()
    const goneFault: SessionFault = { _tag: "LinkLost", detail: "this node has been terminated" }
    // Runs when the fibers below have ended: nobody else would tell those who wait.
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        Deferred.doneUnsafe(over, Effect.void)
        for (const { sessions } of peers.values()) sessions.mux.fail(goneFault)
      })
    )
    const fibers = yield* FiberMap.make<object>()
    const run = yield* FiberMap.runtime(fibers)()
    const waiting = yield* Queue.dropping<Claimable>(maxWaiting)
    const used = new WeakSet<NetCryptoConnection>()
    let isWanted: (identityKey: PublicKey) => boolean = () => false

    const fork = (key: object, what: string, effect: Effect.Effect<unknown>): void => {
      const logged = Effect.tapDefect(effect, (defect) => Effect.logError(`The fiber of ${what} died`, defect))
      run(key, Effect.asVoid(logged))
    }

    /** Sessions that nobody has asked for are offered, or have a little time to be asked for. */
    const offer = Effect.fnUntraced(function*(claimable: Claimable) {
      const { links, sessions } = claimable
      yield* sessions.waiters.until(() => sessions.isUp ? Effect.void : undefined)
      if (sessions.holders > 0 || links.isEnding) return
      if (isWanted(links.identityKey) && (yield* Queue.offer(waiting, claimable))) return
      yield* Effect.sleep(numbers.claimTimeout)
      if (sessions.holders > 0 || links.isEnding) return
      yield* links.leave(sessions, SessionCode.busy, "nobody took the connection")
    })

    /** The end of the sessions is the end of the links, unless the peer has come back as another process. */
    const end = Effect.fnUntraced(function*({ links, sessions }: Claimable) {
      if (links.sessions !== sessions) return
      yield* FiberMap.remove(fibers, links)
      yield* links.hangUp
      const id = toHex(links.identityKey)
      if (peers.get(id) === links) peers.delete(id)
      yield* Deferred.succeed(links.over, undefined)
    })

    const begin = (links: PeerLinks): PeerSessions => {
      const { greater, identityKey, instanceId } = links
      const onChange = (): void => links.wake()
      const hindrance = (): string | undefined => links.hindrance
      const sessions = new PeerSessions({ identityKey, instanceId, greater, numbers, now, hindrance, onChange })
      const claimable = { links, sessions }
      const life = Effect.raceFirst(sessions.run, Effect.andThen(offer(claimable), Effect.never))
      fork(sessions, "a peer's sessions", Effect.andThen(life, end(claimable)))
      return sessions
    }

    const linksOf = (identityKey: PublicKey): PeerLinks => {
      const id = toHex(identityKey)
      const known = peers.get(id)
      if (known?.isEnding === false) return known
      const links = new PeerLinks({
        identityKey,
        instanceId: entropy.bytes(instanceIdSize),
        greater: isGreater(identity.publicKey, identityKey),
        numbers,
        netCrypto,
        entropy,
        used,
        direct,
        policy: directNumbers.policy,
        begin
      })
      peers.set(id, links)
      fork(links, "a peer's links", links.run)
      return links
    }

    const claim = (
      address: CausewayAddress,
      options: ConnectOptions | undefined
    ): Effect.Effect<Claimable, SessionError> =>
      Effect.suspend(() => {
        if (Deferred.isDoneUnsafe(over)) return Effect.fail(errorOfFault(address.identityKey, goneFault))
        const known = peers.get(toHex(address.identityKey))
        // Its connection is being closed and must not be used again.
        if (known?.isEnding === true) {
          // Its fibers end with the node's, and then nobody tells that it is over.
          const gone = Effect.raceFirst(Deferred.await(known.over), Deferred.await(over))
          return Effect.andThen(gone, claim(address, options))
        }
        const links = linksOf(address.identityKey)
        const { sessions } = links
        sessions.holders++
        const obeyed = options?.policy === undefined ? Effect.void : links.setPolicy(options.policy)
        return Effect.map(obeyed, () => {
          links.call(address)
          return { links, sessions }
        })
      })

    const release = ({ links, sessions }: Claimable): Effect.Effect<void> =>
      Effect.suspend(() => {
        sessions.holders--
        return sessions.holders > 0 ? Effect.void : links.leave(sessions, SessionCode.shuttingDown, "")
      })

    const connect = Effect.fn("Causeway.connect")(function*(address: CausewayAddress, options?: ConnectOptions) {
      for (;;) {
        const claimed = claim(address, options)
        const { links, sessions } = yield* Effect.acquireRelease(claimed, release, { interruptible: true })
        const fault = yield* sessions.waiters.until(() =>
          sessions.fault !== undefined || sessions.isUp ? Effect.succeed(sessions.fault) : undefined
        )
        if (fault === undefined) return new PeerHandle(links, sessions, now)
        // When another process of the peer has answered, that is the one to connect to.
        if (fault._tag !== "PeerRestarted") return yield* errorOfFault(address.identityKey, fault)
      }
    })

    const takeWaiting: Effect.Effect<Claimable> = Effect.uninterruptibleMask(Effect.fnUntraced(function*(restore) {
      for (;;) {
        const claimable = yield* restore(Queue.take(waiting))
        // Somebody else has it, or it was given up meanwhile.
        if (claimable.sessions.holders > 0 || claimable.links.isEnding) continue
        if (claimable.links.sessions !== claimable.sessions) continue
        claimable.sessions.holders++
        return claimable
      }
    }))

    yield* netCrypto.setAcceptPolicy((key) => peers.get(toHex(key))?.isEnding === false || isWanted(key))
    yield* netCrypto.accept.pipe(
      Effect.map((connection) => linksOf(connection.identityKey).use(connection)),
      Effect.forever,
      Effect.forkScoped
    )

    return Causeway.of({
      connect,
      accept: isClient ? Effect.fail(new NodeIsClient()) : Effect.map(
        Effect.acquireRelease(takeWaiting, release, { interruptible: true }),
        ({ links, sessions }) => new PeerHandle(links, sessions, now)
      ),
      setAcceptPolicy: Effect.fn("Causeway.setAcceptPolicy")(function*(policy: (identityKey: PublicKey) => boolean) {
        if (isClient) return yield* new NodeIsClient()
        isWanted = policy
      })
    })
  })
)
