// What waits to be sent, bounded by bytes: when it is full, `push` says so and takes nothing.

interface Waiting<Item> {
  readonly item: Item;
  readonly bytes: number;
}

export class Outbox<Item> {
  readonly #bytesMax: number;
  #waiting: Waiting<Item>[] = [];
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** False when full. An empty outbox takes one item of any size: sizes are bounded elsewhere. */
  push(item: Item, bytes: number): boolean {
    if (this.#bytes + bytes > this.#bytesMax && !this.isEmpty) return false;
    this.#waiting.push({ item, bytes });
    this.#bytes += bytes;
    return true;
  }

  /** The oldest items, at least one, together no larger than a frame should be. */
  take(frameBytes: number): Item[] {
    let count = 0;
    let bytes = 0;
    for (const waiting of this.#waiting) {
      if (count > 0 && bytes + waiting.bytes > frameBytes) break;
      bytes += waiting.bytes;
      count += 1;
    }
    this.#bytes -= bytes;
    return this.#waiting.splice(0, count).map(({ item }) => item);
  }

  /** Empties it and hands out what was in it. */
  clear(): Item[] {
    const items = this.#waiting.map(({ item }) => item);
    this.#waiting = [];
    this.#bytes = 0;
    return items;
  }
}
