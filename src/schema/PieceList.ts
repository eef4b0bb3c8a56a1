/**
 * Pieces of a payload as they come. Large ones are kept as they are; small ones are copied together, because a view costs more than a few
 * bytes, and a peer that sends its bytes one by one must not cost a hundred times their memory.
 */

/** Pieces below this are copied. */
const smallPiece = 512
const blockSize = 8 * 1024

export class PieceList {
  /** Bytes in all. */
  length = 0
  private pieces: Array<Uint8Array> = []
  /** Where small pieces are collected; those between `start` and `end` come last. */
  private block = new Uint8Array(0)
  private start = 0
  private end = 0

  /** The piece then belongs to the list. */
  push(piece: Uint8Array): void {
    if (piece.length === 0) return
    this.length += piece.length
    if (piece.length >= smallPiece) {
      this.close()
      this.pieces.push(piece)
      return
    }
    if (this.end + piece.length > this.block.length) {
      this.close()
      this.block = new Uint8Array(blockSize)
      this.start = this.end = 0
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

  /** Puts what has been collected where it belongs in order. */
  private close(): void {
    if (this.start === this.end) return
    this.pieces.push(this.block.subarray(this.start, this.end))
    this.start = this.end
  }
}
