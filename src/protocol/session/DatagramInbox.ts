/** Datagrams that nobody has taken: the latest ones, because the newest of what may be lost is worth most. */
import { Fifo } from "./Fifo.ts"

const most = 256
const mostBytes = 64 * 1024

export class DatagramInbox {
  private readonly datagrams = new Fifo<Uint8Array>()
  private size = 0

  /** Takes a copy: a view would keep a whole packet alive. Returns how many were dropped for it. */
  push(bytes: Uint8Array): number {
    let dropped = 0
    this.datagrams.push(bytes.slice())
    this.size += bytes.length
    while (this.datagrams.length > most || this.size > mostBytes) {
      this.size -= this.datagrams.shift()?.length ?? 0
      dropped++
    }
    return dropped
  }

  /** Everything there is, oldest first; undefined when there is nothing. */
  take(): [Uint8Array, ...Array<Uint8Array>] | undefined {
    const first = this.datagrams.shift()
    if (first === undefined) return undefined
    const all: [Uint8Array, ...Array<Uint8Array>] = [first]
    for (let next = this.datagrams.shift(); next !== undefined; next = this.datagrams.shift()) all.push(next)
    this.size = 0
    return all
  }
}
