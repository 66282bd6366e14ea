// Where each key lives, as far as this node knows. Knowledge comes late, twice and in any order; for
// every key the newest shard that was ever heard of is kept (d.5): generations only grow, and within
// one generation the version of the members decides. A newer shard takes its own range from an older
// one and leaves it the rest: what is left of the old route still leads to a store that knows better,
// so a split is followed without asking Prophet (lessons 10 and 21).
//
// Who leads is remembered apart, with the term in which it was so.
//
// Invariants: pieces do not overlap, are sorted by start, and lie inside their shard; for no key does
// the generation fall while it stays covered; the term of a remembered leader never falls.

import { compareBytes, type KeyRange, rangeContains } from '../../kernel/bytes.ts';
import { NO_ID, type ReplicaId, type ShardId, type StoreId, type Term } from '../../kernel/ids.ts';
import type { ShardMeta } from '../shard/shard-meta.ts';

/** The part of a shard's range for which nothing newer is known. */
export interface Piece extends KeyRange {
  readonly shard: ShardMeta;
}

export interface LeaderHint {
  readonly replicaId: ReplicaId;
  readonly storeId: StoreId;
  readonly term: Term;
}

export class RouteCache {
  readonly #routesMax: number;
  #pieces: Piece[] = [];
  readonly #leaders = new Map<ShardId, LeaderHint>();
  /** Where the next piece is dropped when the cache is full; moves on, so that none is spared. */
  #hand = 0;

  constructor(options: { readonly routesMax: number }) {
    this.#routesMax = options.routesMax;
  }

  /** All that is known, in key order. */
  pieces(): readonly Piece[] {
    return this.#pieces;
  }

  at(key: Uint8Array): ShardMeta | undefined {
    const piece = this.#pieces[this.#firstEndingBehind(key)];
    return piece !== undefined && rangeContains(piece, key) ? piece.shard : undefined;
  }

  /** True when the shard was news. A range that holds nothing is none: peers may send anything. */
  insert(shard: ShardMeta): boolean {
    if (shard.end.length > 0 && compareBytes(shard.start, shard.end) >= 0) return false;
    const from = this.#firstEndingBehind(shard.start);
    const to = this.#firstStartingAt(shard.end);
    const known = this.#pieces.slice(from, to);
    const merged = merge(known, shard);
    if (merged === undefined) return false;
    this.#pieces.splice(from, known.length, ...merged);
    while (this.#pieces.length > this.#routesMax) this.#dropOne(shard);
    return true;
  }

  leaderOf(shardId: ShardId): LeaderHint | undefined {
    return this.#leaders.get(shardId);
  }

  /** Somebody said who leads. True when that was news: nobody was known, or only of older terms. */
  learnLeader(shardId: ShardId, leader: LeaderHint): boolean {
    if (leader.storeId === NO_ID) return false;
    const known = this.#leaders.get(shardId);
    if (known !== undefined && known.term >= leader.term) return false;
    this.#rememberLeader(shardId, leader);
    return true;
  }

  /** A store answered as only a leader does. Its term was not said: it is no older than the known one. */
  confirmLeader(shardId: ShardId, leader: { replicaId: ReplicaId; storeId: StoreId }): void {
    const known = this.#leaders.get(shardId);
    if (known?.storeId === leader.storeId) return;
    this.#rememberLeader(shardId, { ...leader, term: known?.term ?? 0 });
  }

  #rememberLeader(shardId: ShardId, leader: LeaderHint): void {
    this.#leaders.delete(shardId);
    this.#leaders.set(shardId, leader);
    if (this.#leaders.size <= this.#routesMax) return;
    for (const oldest of this.#leaders.keys()) {
      this.#leaders.delete(oldest);
      break;
    }
  }

  #dropOne(kept: ShardMeta): void {
    this.#hand = (this.#hand + 1) % this.#pieces.length;
    if (this.#pieces[this.#hand]?.shard === kept)
      this.#hand = (this.#hand + 1) % this.#pieces.length;
    this.#pieces.splice(this.#hand, 1);
  }

  /** Position of the first piece that ends behind the key: the one that holds it, or follows it. */
  #firstEndingBehind(key: Uint8Array): number {
    return this.#search((piece) => isBehind(piece.end, key));
  }

  /** Position of the first piece that starts at or behind the end of a range. */
  #firstStartingAt(end: Uint8Array): number {
    return this.#search((piece) => !isBehind(end, piece.start));
  }

  /** The first position from which on the condition holds. */
  #search(holds: (piece: Piece) => boolean): number {
    let low = 0;
    let high = this.#pieces.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const piece = this.#pieces[middle];
      if (piece === undefined || holds(piece)) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

/**
 * The pieces that overlap the shard, with the shard wherever it is newer or nothing is known.
 * Undefined when that is nowhere.
 */
function merge(known: readonly Piece[], shard: ShardMeta): Piece[] | undefined {
  const merged: Piece[] = [];
  let isNews = false;
  const add = (start: Uint8Array, end: Uint8Array): void => {
    merged.push({ start, end, shard });
    isNews = true;
  };
  /** Up to here the shard's range is dealt with; undefined once it is to the end of all keys. */
  let reached: Uint8Array | undefined = shard.start;
  for (const piece of known) {
    if (isReplacedBy(piece.shard, shard)) {
      if (compareBytes(piece.start, shard.start) < 0) merged.push({ ...piece, end: shard.start });
      continue;
    }
    if (reached !== undefined && compareBytes(reached, piece.start) < 0) {
      add(reached, piece.start);
    }
    merged.push(piece);
    reached = piece.end.length === 0 ? undefined : piece.end;
  }
  if (reached !== undefined && isBehind(shard.end, reached)) {
    add(reached, shard.end);
  }
  const last = known.at(-1);
  if (last !== undefined && isReplacedBy(last.shard, shard) && shard.end.length > 0) {
    if (isBehind(last.end, shard.end)) merged.push({ ...last, start: shard.end });
  }
  return isNews ? merged : undefined;
}

/** Whether a range with this end goes on behind the key. An empty end is behind all keys. */
function isBehind(end: Uint8Array, key: Uint8Array): boolean {
  return end.length === 0 || compareBytes(end, key) > 0;
}

/** Equal generations of two shards cannot overlap by right; then the later word counts. */
function isReplacedBy(known: ShardMeta, shard: ShardMeta): boolean {
  if (known.epoch.generation !== shard.epoch.generation) {
    return known.epoch.generation < shard.epoch.generation;
  }
  return known.id !== shard.id || known.epoch.confVersion < shard.epoch.confVersion;
}
