// A set of small integers that the search of the checker adds to and takes from, with an exact text
// of its content for the memory of what was tried. Full words at the front and empty words at the
// back are left out of the text, so that it stays short while a long history is worked through.

const WORD_BITS = 16;
const FULL = 0xffff;

export class OperationSet {
  readonly #words: Uint16Array;
  #size = 0;
  /** All words before this one are full. */
  #fullWords = 0;
  /** All words from this one on are empty. */
  #endWord = 0;

  constructor(capacity: number) {
    this.#words = new Uint16Array(Math.ceil(capacity / WORD_BITS));
  }

  get size(): number {
    return this.#size;
  }

  has(index: number): boolean {
    return ((this.#words[wordOf(index)] ?? 0) & bitOf(index)) !== 0;
  }

  add(index: number): void {
    if (this.has(index)) return;
    const word = wordOf(index);
    this.#words[word] = (this.#words[word] ?? 0) | bitOf(index);
    this.#size += 1;
    this.#endWord = Math.max(this.#endWord, word + 1);
    while (this.#words[this.#fullWords] === FULL) this.#fullWords += 1;
  }

  delete(index: number): void {
    if (!this.has(index)) return;
    const word = wordOf(index);
    this.#words[word] = (this.#words[word] ?? 0) & ~bitOf(index);
    this.#size -= 1;
    this.#fullWords = Math.min(this.#fullWords, word);
    while (this.#endWord > 0 && this.#words[this.#endWord - 1] === 0) this.#endWord -= 1;
  }

  /** The smallest number that may be missing: everything below is in the set. */
  firstCandidate(): number {
    return this.#fullWords * WORD_BITS;
  }

  /** Equal for equal content and different otherwise. */
  text(): string {
    const words = this.#words.subarray(this.#fullWords, Math.max(this.#endWord, this.#fullWords));
    return `${this.#fullWords}:${String.fromCharCode(...words)}`;
  }
}

function wordOf(index: number): number {
  return Math.floor(index / WORD_BITS);
}

function bitOf(index: number): number {
  return 1 << (index % WORD_BITS);
}
