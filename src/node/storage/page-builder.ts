// When a page of a scan is full: the one rule that both engines follow, so that a program tested on
// memory meets the same pages on LevelDB.

import { assert } from '../../kernel/assert.ts';
import type { EngineEntry, ScanOptions, ScanPage } from './engine.ts';

export class PageBuilder {
  readonly #limit: number;
  readonly #bytesMax: number;
  readonly #entries: EngineEntry[] = [];
  #bytes = 0;

  constructor({ limit, bytesMax }: Pick<ScanOptions, 'limit' | 'bytesMax'>) {
    assert(limit >= 1, `A page of ${limit} entries cannot make progress`);
    assert(bytesMax >= 1, `A page of ${bytesMax} bytes cannot make progress`);
    this.#limit = limit;
    this.#bytesMax = bytesMax;
  }

  /** Adds the next entry, or answers false when it belongs to the next page. */
  add(entry: EngineEntry): boolean {
    if (this.isFull) return false;
    this.#entries.push(entry);
    this.#bytes += entry.key.length + entry.value.length;
    return true;
  }

  /** Full by number or by bytes. The first entry always fits: every page makes progress. */
  get isFull(): boolean {
    return this.#entries.length >= this.#limit || this.#bytes >= this.#bytesMax;
  }

  /** How many more entries the page takes at most. */
  get room(): number {
    return this.isFull ? 0 : this.#limit - this.#entries.length;
  }

  finish(hasMore: boolean): ScanPage {
    return { entries: this.#entries, hasMore };
  }
}
