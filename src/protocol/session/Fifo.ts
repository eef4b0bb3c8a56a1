/** A queue of which the front is taken and any element can be looked at. Empty, it costs next to nothing: sessions have several. */
export class Fifo<T> {
  private items: Array<T> = []
  private head = 0

  get length(): number {
    return this.items.length - this.head
  }

  /** The element that many places behind the front. */
  at(index: number): T | undefined {
    return this.items[this.head + index]
  }

  push(item: T): void {
    this.items.push(item)
  }

  /** Removes the front. */
  shift(): T | undefined {
    if (this.head === this.items.length) return undefined
    const item = this.items[this.head++]
    if (this.head === this.items.length) this.clear()
    else if (this.head >= 64 && this.head * 2 >= this.items.length) {
      this.items = this.items.slice(this.head)
      this.head = 0
    }
    return item
  }

  clear(): void {
    this.items = []
    this.head = 0
  }
}
