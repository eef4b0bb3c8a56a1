/**
 * Pieces of a payload as they come. A short payload is put together at once, because somebody will want it in one piece. Of a long one
 * large pieces are kept as they are; small ones are copied together, because a view costs more than a few bytes, and a peer that sends
 * its bytes one by one must not cost a hundred times their memory.
 */

/** Payloads below this are put together. */
const shortPayload = 8 * 1024
/** Pieces of others below this are copied. */
const smallPiece = 512
const blockSize = 32 * 1024

export class PieceList {
  /** Bytes in all. */
  length = 0
  private pieces: Array<Uint8Array> = []
  private isShort = false
  /** Where small pieces are collected; those between `start` and `end` come last. */
  private block = new Uint8Array(0)
  private start = 0
  private end = 0

  /** The list is empty, and gets a payload of this many bytes. */
  begin(total: number): void {
    this.isShort = total < shortPayload
    if (this.isShort) this.reserve(total)
  }

  /** The piece then belongs to the list. */
  push(piece: Uint8Array): void {
    if (piece.length === 0) return
    this.length += piece.length
    if (!this.isShort) {
      if (piece.length >= smallPiece) {
        this.close()
        this.pieces.push(piece)
        return
      }
      this.reserve(piece.length)
    }
    this.block.set(piece, this.end)
    this.end += piece.length
  }

  /** Everything, in order. The list is empty afterwards. */
  take(): ReadonlyArray<Uint8Array> {
    this.close()
    const { pieces } = this
    this.clear()
    return pieces
  }

  clear(): void {
    this.pieces = []
    this.length = 0
    this.start = this.end
  }

  /** Makes room for a small piece. */
  private reserve(size: number): void {
    if (this.end + size <= this.block.length) return
    this.close()
    this.block = new Uint8Array(blockSize)
    this.start = this.end = 0
  }

  /** Puts what has been collected where it belongs in order. */
  private close(): void {
    if (this.start === this.end) return
    this.pieces.push(this.block.subarray(this.start, this.end))
    this.start = this.end
  }
}
