// A sorted map from bytes to bytes for the memory engine: chunks of at most 128 sorted keys, found by
// binary search. A copy costs one pointer for each chunk and shares the chunks; whoever changes a
// chunk afterwards copies that chunk first. So snapshots of 100 000 keys cost microseconds.

import { must } from '../../kernel/assert.ts';
import { compareBytes, equalBytes } from '../../kernel/bytes.ts';
import type { EngineEntry } from './engine.ts';

const CHUNK_KEYS_MAX = 128;

interface Chunk {
  /** The map that may change this chunk in place: see `copy`. */
  readonly owner: object;
  readonly entries: EngineEntry[];
}

/** Invariants: no chunk is empty; keys ascend within and across chunks; a chunk of another owner is never changed. */
export class SortedMap {
  #owner: object = {};
  #chunks: Chunk[] = [];
  #bytes = 0;

  /** Keys and values together. */
  get bytes(): number {
    return this.#bytes;
  }

  /** An independent map with the same entries. */
  copy(): SortedMap {
    const copy = new SortedMap();
    copy.#chunks = this.#chunks.slice();
    copy.#bytes = this.#bytes;
    // From now on neither map owns the chunks that both hold.
    this.#owner = {};
    return copy;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    const chunk = this.#chunks[this.#chunkFor(key)];
    if (chunk === undefined) return undefined;
    const entry = chunk.entries[lowerBound(chunk.entries, key)];
    return entry !== undefined && equalBytes(entry.key, key) ? entry.value : undefined;
  }

  /** Keeps both arrays: the caller hands over copies. */
  set(key: Uint8Array, value: Uint8Array): void {
    if (this.#chunks.length === 0) this.#chunks.push({ owner: this.#owner, entries: [] });
    const at = this.#chunkFor(key);
    const { entries } = this.#writable(at);
    const place = lowerBound(entries, key);
    const found = entries[place];
    if (found !== undefined && equalBytes(found.key, key)) {
      entries[place] = { key: found.key, value };
      this.#bytes += value.length - found.value.length;
      return;
    }
    entries.splice(place, 0, { key, value });
    this.#bytes += key.length + value.length;
    if (entries.length > CHUNK_KEYS_MAX) this.#split(at);
  }

  delete(key: Uint8Array): void {
    if (this.get(key) === undefined) return;
    const at = this.#chunkFor(key);
    const { entries } = this.#writable(at);
    const [removed] = entries.splice(lowerBound(entries, key), 1);
    const { value } = must(removed, 'The key was found a moment ago');
    this.#bytes -= key.length + value.length;
    if (entries.length === 0) this.#chunks.splice(at, 1);
  }

  /** Entries with keys >= `start`, ascending. The map must not change while this is read. */
  *from(start: Uint8Array): Generator<EngineEntry> {
    const first = this.#chunkFor(start);
    for (let at = first; at < this.#chunks.length; at += 1) {
      const { entries } = this.#chunk(at);
      const place = at === first ? lowerBound(entries, start) : 0;
      for (let next = place; next < entries.length; next += 1) yield entryAt(entries, next);
    }
  }

  /** Entries with keys < `end`, descending; without `end` all of them. */
  *before(end: Uint8Array | undefined): Generator<EngineEntry> {
    const last = end === undefined ? this.#chunks.length - 1 : this.#chunkFor(end);
    for (let at = Math.min(last, this.#chunks.length - 1); at >= 0; at -= 1) {
      const { entries } = this.#chunk(at);
      const isCut = at === last && end !== undefined;
      const place = isCut ? lowerBound(entries, end) : entries.length;
      for (let next = place - 1; next >= 0; next -= 1) yield entryAt(entries, next);
    }
  }

  /** The last chunk whose first key is <= `key`, or the first chunk: where `key` is or would be. */
  #chunkFor(key: Uint8Array): number {
    let low = 0;
    let high = this.#chunks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      const first = entryAt(this.#chunk(middle).entries, 0);
      if (compareBytes(first.key, key) <= 0) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #chunk(at: number): Chunk {
    return must(this.#chunks[at], 'A chunk inside the map');
  }

  #writable(at: number): Chunk {
    const chunk = this.#chunk(at);
    if (chunk.owner === this.#owner) return chunk;
    const own = { owner: this.#owner, entries: chunk.entries.slice() };
    this.#chunks[at] = own;
    return own;
  }

  /** Ascending writes, as logs make them, leave full chunks behind; others split in the middle. */
  #split(at: number): void {
    const { entries } = this.#chunk(at);
    const isLast = at === this.#chunks.length - 1;
    const upper = entries.splice(isLast ? CHUNK_KEYS_MAX : CHUNK_KEYS_MAX >>> 1);
    this.#chunks.splice(at + 1, 0, { owner: this.#owner, entries: upper });
  }
}

/** The first place whose key is >= `key`. */
function lowerBound(entries: readonly EngineEntry[], key: Uint8Array): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBytes(entryAt(entries, middle).key, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function entryAt(entries: readonly EngineEntry[], at: number): EngineEntry {
  return must(entries[at], 'An entry inside its chunk');
}
