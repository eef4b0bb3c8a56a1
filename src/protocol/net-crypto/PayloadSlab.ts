/**
 * Memory for opened packets: they are opened into the free end of a shared block, and those that are kept stay there as views. One
 * allocation serves some fifty packets. A block lives as long as any view of it.
 */
const blockSize = 64 * 1024

export class PayloadSlab {
  block: Uint8Array = new Uint8Array(0)
  /** Where the next packet is opened. */
  at = 0

  /** Makes room for `size` bytes at `at`. */
  reserve(size: number): void {
    if (this.block.length - this.at >= size) return
    this.block = new Uint8Array(blockSize)
    this.at = 0
  }

  /** Keeps the bytes [from, to) of what was opened last, as a view that nobody else will write to. */
  keep(from: number, to: number): Uint8Array {
    this.at = to
    return this.block.subarray(from, to)
  }
}
