/**
 * A link to a member of a group: its streams say hello, each under a fiber of its own, then carry sessions together. When one of them ends, all
 * do, because a link is resumed as a whole; another link takes its place. Who dials, and which sessions there are, is `GroupPeer`'s.
 */
import * as Effect from "effect/Effect"
import type { LinkStallNumbers } from "../protocol/session/LinkStall.ts"
import { equalBytes } from "../schema/Bytes.ts"
import type { DirectLink } from "../services/DirectLinks.ts"
import * as DirectLinkCarrier from "./directLink.ts"
import { GroupStream } from "./groupStream.ts"
import type { PeerSessions } from "./peerSessions.ts"
import * as WaitUntil from "./waitUntil.ts"

export class GroupLink {
  /** The sessions that run over it, once they do. */
  sessions: PeerSessions | undefined = undefined
  readonly #link: DirectLink
  readonly #streams: ReadonlyArray<GroupStream>
  readonly #waiters = WaitUntil.make()
  #carrier: DirectLinkCarrier.Attached | undefined = undefined

  /** Says hello on every stream. `instanceId`: ours, 16 bytes. */
  constructor(link: DirectLink, instanceId: Uint8Array) {
    this.#streams = link.streams.map((stream) => new GroupStream(stream, instanceId, this.#waiters))
    this.#link = { ...link, streams: this.#streams }
  }

  /** Waits until every stream has said hello: the process of the peer, undefined when they do not agree on it. */
  get greeting(): Effect.Effect<Uint8Array | undefined> {
    return this.#waiters.until(() => {
      const [first, ...others] = this.#streams.map((stream) => stream.peerInstance)
      if (first === undefined) return undefined
      let agree = true
      for (const other of others) {
        if (other === undefined) return undefined
        agree &&= equalBytes(other, first)
      }
      return Effect.succeed(agree ? first : undefined)
    })
  }

  /** Watches every stream, each in a fiber, until the first of them ends; says which, and why. */
  life(helloTimeout: number): Effect.Effect<string> {
    return Effect.raceAllFirst(
      this.#streams.map((stream, index) =>
        Effect.map(stream.life(helloTimeout), (why) => `stream ${index} of ${this.#streams.length}: ${why}`)
      )
    )
  }

  /** Makes the sessions run over it. Once, after the greeting. */
  carry(sessions: PeerSessions): void {
    this.sessions = sessions
    this.#carrier = DirectLinkCarrier.attach(this.#link, sessions.mux)
    this.#waiters.wake()
  }

  /** Waits until it carries sessions, then until it has brought nothing for too long although something was to come. */
  stalled(numbers: LinkStallNumbers): Effect.Effect<string> {
    return this.#waiters.until(() => this.#carrier && Effect.succeed(this.#carrier)).pipe(
      Effect.flatMap((carrier) => carrier.stalled(numbers.stallTimeout, numbers.idleProbeInterval)),
      Effect.as("it brought nothing any more")
    )
  }

  /** Ends it at once. */
  destroy(): void {
    this.#carrier?.destroy()
    for (const stream of this.#streams) stream.destroy()
  }
}
