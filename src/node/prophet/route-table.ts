// Which shard serves which key, without hole or overlap. Shards report one by one, so between the
// two halves of a split their reports disagree for a moment: newer generations then overwrite what
// they cover, and the rest of the older range stays until its own successor reports. Sent to the old
// shard, a request there is answered with the current shards (d.5), so nobody waits for Prophet.
//
// Invariant: pieces are in key order and never overlap.

import type { KeyRange } from '../../kernel/bytes.ts';
import { compareBytes, rangesOverlap } from '../../kernel/bytes.ts';
import type { ShardMeta } from '../shard/shard-meta.ts';
import { isNewerEpoch } from '../shard/shard-meta.ts';

export class RouteTable {
  #pieces: ShardMeta[] = [];

  constructor(shards: Iterable<ShardMeta>) {
    const byAge = [...shards].sort((a, b) => (isNewerEpoch(a.epoch, b.epoch) ? 1 : -1));
    for (const shard of byAge) this.insert(shard);
  }

  /** Overwrites every older piece in the shard's range, and leaves newer ones standing. */
  insert(shard: ShardMeta): void {
    const first = this.#firstBehind(shard.start);
    let last = first;
    const merged: ShardMeta[] = [];
    let cursor: Uint8Array | undefined = shard.start;
    let tail: ShardMeta | undefined;
    for (; last < this.#pieces.length; last += 1) {
      const piece = this.#pieces[last];
      if (piece === undefined || !rangesOverlap(piece, shard)) break;
      if (isNewerThan(piece, shard)) {
        if (cursor !== undefined && compareBytes(cursor, piece.start) < 0) {
          merged.push({ ...shard, start: cursor, end: piece.start });
        }
        merged.push(piece);
        cursor = piece.end.length === 0 ? undefined : piece.end;
        continue;
      }
      if (compareBytes(piece.start, shard.start) < 0) merged.push({ ...piece, end: shard.start });
      if (endsBehind(piece, shard)) tail = { ...piece, start: shard.end };
    }
    if (cursor !== undefined && (shard.end.length === 0 || compareBytes(cursor, shard.end) < 0)) {
      merged.push({ ...shard, start: cursor });
    }
    if (tail !== undefined) merged.push(tail);
    this.#pieces.splice(first, last - first, ...merged);
  }

  /** The pieces that overlap a range, in key order; `limit` 0 means all. */
  find(range: KeyRange, limit: number): readonly ShardMeta[] {
    const found: ShardMeta[] = [];
    for (let at = this.#firstBehind(range.start); at < this.#pieces.length; at += 1) {
      const piece = this.#pieces[at];
      if (piece === undefined || !rangesOverlap(piece, range)) break;
      if (limit > 0 && found.length >= limit) break;
      found.push(piece);
    }
    return found;
  }

  /** Index of the first piece that ends behind the key. */
  #firstBehind(key: Uint8Array): number {
    let low = 0;
    let high = this.#pieces.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const end = this.#pieces[middle]?.end;
      if (end === undefined || end.length === 0 || compareBytes(end, key) > 0) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

/** For one key generations only grow, and within one generation the shard is the same one. */
function isNewerThan(piece: ShardMeta, shard: ShardMeta): boolean {
  return isNewerEpoch(piece.epoch, shard.epoch);
}

function endsBehind(piece: KeyRange, shard: KeyRange): boolean {
  if (shard.end.length === 0) return false;
  return piece.end.length === 0 || compareBytes(piece.end, shard.end) > 0;
}
