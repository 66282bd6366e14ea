// What happened in a run, as a running digest and as its last lines. Two runs of one seed must give
// the same digest: that test guards the determinism that every other simulation test stands on.

/** How many lines a failing run prints. */
const LINES_KEPT = 200;

const FNV_PRIME = 0x01000193;

export class Trace {
  readonly #lines: string[] = [];
  readonly #float = new Float64Array(1);
  readonly #words = new Uint32Array(this.#float.buffer);
  #low = 0x811c9dc5;
  #high = 0x9747b28c;
  #recorded = 0;

  /** One thing that happened, with words for people. */
  record(timeMs: number, label: string): void {
    this.mark(timeMs);
    for (let at = 0; at < label.length; at += 1) this.#mix(label.charCodeAt(at));
    this.#lines[this.#recorded % LINES_KEPT] = `${timeMs.toFixed(3)} ${label}`;
    this.#recorded += 1;
  }

  /** One thing that happened, for the digest only. */
  mark(timeMs: number): void {
    this.#float[0] = timeMs;
    this.#mix(this.#words[0] ?? 0);
    this.#mix(this.#words[1] ?? 0);
  }

  digest(): string {
    const hex = (word: number): string => (word >>> 0).toString(16).padStart(8, '0');
    return hex(this.#high) + hex(this.#low);
  }

  /** The newest lines, oldest first. */
  lines(): readonly string[] {
    const start = this.#recorded % LINES_KEPT;
    if (this.#recorded <= LINES_KEPT) return this.#lines.slice(0, this.#recorded);
    return [...this.#lines.slice(start), ...this.#lines.slice(0, start)];
  }

  /** Two FNV-1a lanes, the second fed by the first: enough to notice a difference. */
  #mix(word: number): void {
    this.#low = Math.imul(this.#low ^ word, FNV_PRIME);
    this.#high = Math.imul(this.#high ^ (this.#low >>> 15) ^ word, FNV_PRIME);
  }
}
