/**
 * A read and write position over one packet, and what is wrong with a packet. Nothing here throws on bad bytes: the first problem
 * is noted and reading goes on harmlessly, because an exception per bad packet would be a lever for an attacker.
 */

/** Why bytes are not the packet they should be. A plain value without a stack, so that it costs little to make. */
export class WireIssue {
  readonly _tag = "WireIssue"
  readonly message: string
  constructor(message: string) {
    this.message = message
  }
}

export class WireCursor {
  readonly bytes: Uint8Array
  readonly view: DataView
  offset = 0
  /** The first thing found wrong while reading. */
  problem: string | undefined = undefined

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get remaining(): number {
    return this.bytes.length - this.offset
  }

  fail(problem: string): void {
    this.problem ??= problem
  }

  /**
   * Moves past `size` bytes and returns where they start. When they are not there the problem is noted and the answer is 0, which
   * is a readable position because a packet is at least as long as its longest integer.
   */
  advance(size: number): number {
    if (size > this.remaining) {
      this.fail(`needs ${size} more bytes, has ${this.remaining}`)
      return 0
    }
    const start = this.offset
    this.offset += size
    return start
  }

  /** A view of the next `size` bytes, empty when they are not there. */
  take(size: number): Uint8Array {
    const start = this.advance(size)
    return this.problem === undefined ? this.bytes.subarray(start, start + size) : this.bytes.subarray(0, 0)
  }
}
