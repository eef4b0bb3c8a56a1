/**
 * Ids of sessions opened by name: from 0x80000000 up, with bit 30 set by the node with the greater identity key, so that both sides can
 * open at the same time without asking (design, "Ids"). Lower ids belong to `makeSessions`.
 */
import { linkSessionId } from "../../schema/SessionFrame.ts"

const firstOpenedId = 0x8000_0000
const greaterBit = 0x4000_0000
const halfSize = 0x4000_0000
/** Ids that `makeSessions` gives in all, from 0: a Resume has to name them, and each may have been made by the peer first. */
export const maxMadeSessions = 65_536

export class SessionIds {
  private readonly ours: number
  private readonly peers: number
  private count = 0
  private made = 0

  /** `greater`: our identity key is the greater one, compared as bytes. */
  constructor(greater: boolean) {
    this.ours = firstOpenedId + (greater ? greaterBit : 0)
    this.peers = firstOpenedId + (greater ? 0 : greaterBit)
  }

  /** Whether the peer may open a session with this id. */
  isPeers(id: number): boolean {
    return id >= this.peers && id < this.peers + halfSize && id !== linkSessionId
  }

  /** Whether the id is one that `makeSessions` will give and has not given yet. */
  isUnmade(id: number): boolean {
    return id >= this.made && id < maxMadeSessions
  }

  /** The next `count` ids of `makeSessions`. Throws when there would be too many in all. */
  make(count: number): ReadonlyArray<number> {
    if (!Number.isInteger(count) || count < 0 || this.made + count > maxMadeSessions) {
      throw new RangeError(`${count} more sessions cannot be made: ${this.made} of ${maxMadeSessions} are`)
    }
    return Array.from({ length: count }, () => this.made++)
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
