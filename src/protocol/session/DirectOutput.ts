/**
 * Where a multiplexer puts the bytes of one direct stream: small frames are copied together, large pieces go as they are, and a batch is
 * one write. Sessions never change what they have written, so a piece may be on its way while the session keeps it for another link.
 *
 * It holds at most the batch that is being put together.
 */
import type { LinkOutput } from "./LinkOutput.ts"

/** What it needs of a direct stream. Type only. */
export interface BatchWriter {
  /** Takes the pieces, which are not changed any more, as one batch. False: stop until there is room. */
  readonly write: (pieces: ReadonlyArray<Uint8Array>) => boolean
  readonly hold: (held: boolean) => void
}

/** From this size on pieces are not copied. Measured over TCP, a copy and a piece of its own cost the same at 1 to 2 KiB, and differ little around it. */
const largePiece = 4 * 1024
/** Small frames are cut from one allocation, so that a small batch is cheap. It lives until the last of them has been sent. */
const slabSize = 16 * 1024

/**
 * Longer frames cost less, and who waits behind one waits for the stream's own buffers anyway, which hold several: a frame is a quarter of
 * what the stream takes at once.
 */
const frameScale = 4

export class DirectOutput implements LinkOutput {
  readonly hold: (held: boolean) => void
  readonly frameScale = frameScale
  private readonly stream: BatchWriter
  private pieces: Array<Uint8Array> = []
  /** Small frames that are no piece yet are `start..end` of the slab; what is before belongs to pieces. */
  private slab = new Uint8Array(0)
  private start = 0
  private end = 0
  private isFull = false

  constructor(stream: BatchWriter) {
    this.stream = stream
    this.hold = stream.hold
  }

  push(bytes: Uint8Array): void {
    if (bytes.length >= largePiece) {
      this.cut()
      this.pieces.push(bytes)
      return
    }
    if (this.end + bytes.length > this.slab.length) {
      this.cut()
      this.slab = new Uint8Array(slabSize)
      this.start = this.end = 0
    }
    this.slab.set(bytes, this.end)
    this.end += bytes.length
  }

  /** A batch has no packets to fill: it ends when it is sent. */
  flush(): void {}

  send(): boolean {
    if (this.isFull) return false
    this.cut()
    if (this.pieces.length === 0) return true
    const { pieces } = this
    this.pieces = []
    // There may be room again before it returns.
    this.isFull = true
    const hasRoom = this.stream.write(pieces)
    if (hasRoom) this.isFull = false
    return !this.isFull
  }

  /** The stream takes more again: the multiplexer has to be told afterwards. */
  writable(): void {
    this.isFull = false
  }

  private cut(): void {
    if (this.start === this.end) return
    this.pieces.push(this.slab.subarray(this.start, this.end))
    this.start = this.end
  }
}
