/** Says over which links a peer is reached: relays, which is where it begins, or a direct link, and when there is none. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { toHex } from "../schema/Bytes.ts"
import type { Peer, PeerLinkState } from "../services/Causeway.ts"
import type { Output } from "./output.ts"

const described = { direct: "directly", relayed: "over relays" } as const

/** Says each time that sessions have moved to the other kind of link. Until the peer is gone, or it is interrupted. */
export const reportPaths = (output: Output, peer: Pick<Peer, "identityKey" | "links">): Effect.Effect<void> =>
  Effect.suspend(() => Stream.runForEach(peer.links, moves(output, peer)))

/** Says in addition when the last link is lost, and when there is one again. */
export const reportLinks = (output: Output, peer: Pick<Peer, "identityKey" | "links">): Effect.Effect<void> =>
  Effect.suspend(() => {
    const identityKey = toHex(peer.identityKey)
    const move = moves(output, peer)
    let isFirst = true
    let isDown = false
    return Stream.runForEach(peer.links, (state) => {
      const wasDown = isDown
      const wasFirst = isFirst
      isFirst = false
      isDown = state._tag === "Down"
      if (isDown) {
        if (wasFirst) return Effect.void
        return output.event({ event: "interrupted", identityKey }, "the link is lost; waiting for a new one")
      }
      return wasDown && !wasFirst
        ? Effect.andThen(
          output.event({ event: "resumed", identityKey }, "there is a link again, and nothing was lost"),
          move(state)
        )
        : move(state)
    })
  })

const moves = (output: Output, peer: Pick<Peer, "identityKey">) => {
  const identityKey = toHex(peer.identityKey)
  let last: "direct" | "relayed" = "relayed"
  return (state: PeerLinkState): Effect.Effect<void> => {
    if (state._tag === "Down" || state.path === last) return Effect.void
    last = state.path
    return output.event({ event: "path", identityKey, path: last }, `the peer is reached ${described[last]} now`)
  }
}
