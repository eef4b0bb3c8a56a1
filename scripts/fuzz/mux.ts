/** The multiplexer, after the exchange of hellos. An input is what the peer sends on the link. Nothing may make it throw. */
import { byHand } from "../../test/utils/muxPair.ts"
import { stream } from "./frames.ts"
import type { Target } from "./targets.ts"

export const target: Target = {
  generate: stream,
  judge: (bytes) => {
    const { our, sendBytes } = byHand()
    sendBytes(bytes)
    return { refused: our.mux.fault !== undefined, wrong: undefined }
  }
}
