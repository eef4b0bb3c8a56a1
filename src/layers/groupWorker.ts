/**
 * The worker of a group (rows I01, I02): one fiber that takes commands and arriving links through one bounded queue, so that it waits for both
 * at once and loses neither to the other; interrupting it cancels the group. It alone keeps the books: who is requested, and which connections
 * somebody wants again. Links are made by each `GroupPeer`, which knows the one that is pending.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { SessionCode } from "../protocol/session/sessionFault.ts"
import { isGreater, type PublicKey, toHex } from "../schema/Bytes.ts"
import type { IpEndpoint } from "../schema/IpEndpoint.ts"
import type { Peer } from "../services/Causeway.ts"
import type { PeerConnectionProgress } from "../services/PeerConnectionBuilder.ts"
import * as Errors from "../services/PeerConnectionError.ts"
import type { GroupLink } from "./groupLink.ts"
import { type GroupNode, GroupPeer } from "./groupPeer.ts"
import * as WaitUntil from "./waitUntil.ts"

/** Commands and links that wait for the worker; who has one more waits with it. */
const queueSize = 64

type Connections = ReadonlyMap<string, Peer>
type Failure = Errors.PeerConnectionError

type Input =
  | {
    readonly _tag: "Include"
    readonly identityKey: PublicKey
    readonly endpoints: ReadonlyArray<IpEndpoint>
    readonly answer: Deferred.Deferred<void, Failure>
  }
  | { readonly _tag: "Build"; readonly answer: Deferred.Deferred<void, Failure> }
  | {
    readonly _tag: "Reconnect"
    readonly id: string
    readonly answer: Deferred.Deferred<Deferred.Deferred<Peer>, Failure>
  }
  | {
    readonly _tag: "Arrived"
    readonly peer: GroupPeer
    readonly link: GroupLink
    readonly peerInstance: Uint8Array
  }
  /** The sessions with a peer have begun or ceased to flow, or a link has ended. */
  | { readonly _tag: "Changed"; readonly peer: GroupPeer }

const failure = (id: string | undefined, reason: Errors.PeerConnectionErrorReason): Failure =>
  new Errors.PeerConnectionError({ peer: id, reason })

export class GroupWorker {
  readonly #node: GroupNode
  readonly #ourKey: PublicKey
  readonly #inputs: Queue.Queue<Input>
  readonly #waiters = WaitUntil.make()
  readonly #over = Deferred.makeUnsafe<void>()
  /** Every member by its identity key, each with its address. */
  readonly #peers = new Map<string, GroupPeer>()
  /** Members without a connection so far, or again without one before the group is built. */
  readonly #requested = new Set<string>()
  /** Connections that somebody wants again. */
  readonly #reconnections = new Map<string, Deferred.Deferred<Peer>>()
  /** Somebody has called `build`, so that the group is complete. */
  #claimed = false
  /** Done when everybody of the complete group is connected. */
  readonly #built = Deferred.makeUnsafe<Connections>()
  #version = 0

  constructor(node: GroupNode, ourKey: PublicKey, inputs: Queue.Queue<Input>) {
    this.#node = node
    this.#ourKey = ourKey
    this.#inputs = inputs
  }

  static readonly make = (node: GroupNode, ourKey: PublicKey): Effect.Effect<GroupWorker> =>
    Effect.map(Queue.bounded<Input>(queueSize), (inputs) => new GroupWorker(node, ourKey, inputs))

  /** The worker's life. */
  get run(): Effect.Effect<never> {
    return Effect.forever(Effect.map(Queue.take(this.#inputs), (input) => this.#handle(input)))
  }

  readonly include = (identityKey: PublicKey, endpoints: ReadonlyArray<IpEndpoint>): Effect.Effect<void, Failure> =>
    this.#ask<void>((answer) => ({ _tag: "Include", identityKey, endpoints, answer }))

  /** Takes the group for one user: from now on nobody can be included. */
  get claim(): Effect.Effect<void, Failure> {
    return this.#ask<void>((answer) => ({ _tag: "Build", answer }))
  }

  /** Waits until everybody is connected. */
  get connected(): Effect.Effect<Connections, Failure> {
    return this.#orOver(Deferred.await(this.#built))
  }

  readonly reconnect = (identityKey: PublicKey): Effect.Effect<Peer, Failure> => {
    const id = toHex(identityKey)
    return this.#ask<Deferred.Deferred<Peer>>((answer) => ({ _tag: "Reconnect", id, answer })).pipe(
      Effect.flatMap((connected) => this.#orOver(Deferred.await(connected), id))
    )
  }

  get progress(): ReadonlyArray<PeerConnectionProgress> {
    return Array.from(this.#peers.values(), ({ identityKey, state }) => ({ identityKey, state }))
  }

  get changes(): Stream.Stream<ReadonlyArray<PeerConnectionProgress>> {
    return Stream.suspend(() => {
      let seen: number | undefined
      const next = this.#waiters.until<[ReadonlyArray<PeerConnectionProgress>], Cause.Done>(() => {
        if (Deferred.isDoneUnsafe(this.#over)) return Cause.done()
        if (seen === this.#version) return undefined
        seen = this.#version
        return Effect.succeed([this.progress])
      })
      return Stream.fromPull(Effect.succeed(next))
    })
  }

  /** Says goodbye to everybody at once. What is asked afterwards fails. */
  get leave(): Effect.Effect<void> {
    return Effect.suspend(() => {
      Deferred.doneUnsafe(this.#over, Effect.void)
      this.#note()
      const goodbyes = Array.from(
        this.#peers.values(),
        (peer) => peer.leave(peer.sessions, SessionCode.shuttingDown, "")
      )
      return Effect.all(goodbyes, { concurrency: "unbounded", discard: true })
    })
  }

  #handle(input: Input): void {
    switch (input._tag) {
      case "Include":
        return answer(input.answer, this.#include(input.identityKey, input.endpoints))
      case "Build": {
        if (this.#claimed) return answer(input.answer, failure(undefined, new Errors.AlreadyBuilt()))
        this.#claimed = true
        answer(input.answer, undefined)
        return this.#finish()
      }
      case "Reconnect":
        return answer(input.answer, this.#reconnect(input.id))
      case "Arrived":
        return input.peer.use(input.link, input.peerInstance)
      case "Changed":
        return this.#changed(input.peer)
    }
  }

  #include(identityKey: PublicKey, endpoints: ReadonlyArray<IpEndpoint>): void | Failure {
    const id = toHex(identityKey)
    if (id === toHex(this.#ourKey)) return failure(id, new Errors.IncludesSelf())
    if (this.#peers.has(id)) return failure(id, new Errors.AlreadyIncluded())
    if (this.#claimed) return failure(id, new Errors.GroupComplete())
    const greater = isGreater(this.#ourKey, identityKey)
    if (greater && endpoints.length === 0) return failure(id, new Errors.NoEndpoints())
    const peer: GroupPeer = new GroupPeer({
      ...this.#node,
      identityKey,
      endpoints,
      greater,
      onArrived: (link, peerInstance) => this.#tell({ _tag: "Arrived", peer, link, peerInstance }),
      onChanged: Effect.suspend(() => this.#tell({ _tag: "Changed", peer })),
      onProgress: () => this.#note()
    })
    this.#peers.set(id, peer)
    this.#requested.add(id)
    this.#node.fork("a member's links", peer.run)
    this.#note()
  }

  #reconnect(id: string): Deferred.Deferred<Peer> | Failure {
    const peer = this.#peers.get(id)
    // Who asks has built the group, so every member was connected (row I05).
    if (peer === undefined) return failure(id, new Errors.NotConnectedBefore())
    const wanted = this.#reconnections.get(id) ?? Deferred.makeUnsafe<Peer>()
    this.#reconnections.set(id, wanted)
    peer.hurry()
    this.#connected(id, peer)
    return wanted
  }

  #changed(peer: GroupPeer): void {
    const id = toHex(peer.identityKey)
    const { isUp } = peer.sessions
    if (isUp) {
      this.#requested.delete(id)
      this.#connected(id, peer)
      this.#finish()
    } else if (peer.sessions.fault !== undefined || !peer.sessions.wasUp) {
      // Whoever has not built the group yet gets no peer whose sessions are over.
      this.#requested.add(id)
    }
    this.#note()
  }

  /** Tells those who wanted the connection again that it is there. */
  #connected(id: string, peer: GroupPeer): void {
    const wanted = this.#reconnections.get(id)
    if (wanted === undefined || !peer.sessions.isUp) return
    this.#reconnections.delete(id)
    Deferred.doneUnsafe(wanted, Effect.succeed(peer.peer))
  }

  #finish(): void {
    if (!this.#claimed || this.#requested.size > 0) return
    const connections = new Map(Array.from(this.#peers, ([id, { peer }]) => [id, peer]))
    Deferred.doneUnsafe(this.#built, Effect.succeed(connections))
  }

  #note(): void {
    this.#version++
    this.#waiters.wake()
  }

  #tell(input: Input): Effect.Effect<void> {
    return Effect.asVoid(Queue.offer(this.#inputs, input))
  }

  #ask<A>(input: (answer: Deferred.Deferred<A, Failure>) => Input): Effect.Effect<A, Failure> {
    return Effect.suspend(() => {
      const answer = Deferred.makeUnsafe<A, Failure>()
      return this.#orOver(Effect.andThen(this.#tell(input(answer)), Deferred.await(answer)))
    })
  }

  #orOver<A>(effect: Effect.Effect<A, Failure>, id?: string): Effect.Effect<A, Failure> {
    const over = Effect.flatMap(Deferred.await(this.#over), () => Effect.fail(failure(id, new Errors.GroupEnded())))
    return Effect.raceFirst(effect, over)
  }
}

const answer = <A>(to: Deferred.Deferred<A, Failure>, value: A | Failure): void => {
  Deferred.doneUnsafe(to, value instanceof Errors.PeerConnectionError ? Effect.fail(value) : Effect.succeed(value))
}
