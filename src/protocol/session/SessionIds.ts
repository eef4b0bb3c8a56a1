/**
 * Ids of sessions opened by name: from 0x80000000 up, with bit 30 set by the node with the greater identity key, so that both sides can
 * open at the same time without asking (design, "Ids"). Lower ids belong to `makeSessions`.
 */
import { linkSessionId } from "../../schema/SessionFrame.ts"

const firstOpenedId = 0x8000_0000
const greaterBit = 0x4000_0000
const halfSize = 0x4000_0000

export class SessionIds {
  private readonly ours: number
  private readonly peers: number
  private count = 0

  /** `greater`: our identity key is the greater one, compared as bytes. */
  constructor(greater: boolean) {
    this.ours = firstOpenedId + (greater ? greaterBit : 0)
    this.peers = firstOpenedId + (greater ? 0 : greaterBit)
  }

  /** Whether the peer may open a session with this id. */
  isPeers(id: number): boolean {
    return id >= this.peers && id < this.peers + halfSize && id !== linkSessionId
  }

  /** The next id of ours that is not in use. There are far more ids than sessions can be. */
  next(isUsed: (id: number) => boolean): number {
    for (;;) {
      const id = this.ours + this.count
      this.count = (this.count + 1) % halfSize
      if (id !== linkSessionId && !isUsed(id)) return id
    }
  }
}
