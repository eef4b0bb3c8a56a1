/** Pings of a link that have no answer yet. An answer nobody waits for changes nothing. */
import * as Frame from "../../schema/SessionFrame.ts"

/** The oldest is given up for one more. */
const most = 64

export class MuxPings {
  private next = 1n
  private readonly waiting = new Map<bigint, () => void>()

  get count(): number {
    return this.waiting.size
  }

  /** A Ping to send. */
  begin(onPong: () => void): Uint8Array {
    const value = this.next++
    this.waiting.set(value, onPong)
    if (this.waiting.size > most) {
      const [oldest] = this.waiting.keys()
      if (oldest !== undefined) this.waiting.delete(oldest)
    }
    return Frame.Ping.encode(Frame.Ping.make({ value }))
  }

  /** False: it answers nothing of ours. */
  pong(value: bigint): boolean {
    const onPong = this.waiting.get(value)
    if (onPong === undefined) return false
    this.waiting.delete(value)
    onPong()
    return true
  }

  clear(): void {
    this.waiting.clear()
  }
}
