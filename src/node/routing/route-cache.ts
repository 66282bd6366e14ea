// Where each key lives, as far as this node knows. Knowledge comes late, twice and in any order; the
// rules of d.5 keep the newest: for one key generations only grow, and within one generation the
// version of the members decides. Who leads is remembered apart, with the term in which it was so.
//
// Invariants: cached shards do not overlap and are sorted by start; for no key does the generation
// fall while it stays covered; the term of a remembered leader never falls.

import { compareBytes, type KeyRange, rangeContains } from '../../kernel/bytes.ts';
import { NO_ID, type ReplicaId, type ShardId, type StoreId, type Term } from '../../kernel/ids.ts';
import type { ShardMeta } from '../shard/shard-meta.ts';

export interface LeaderHint {
  readonly replicaId: ReplicaId;
  readonly storeId: StoreId;
  readonly term: Term;
}

export class RouteCache {
  readonly #routesMax: number;
  #routes: ShardMeta[] = [];
  readonly #leaders = new Map<ShardId, LeaderHint>();
  /** Where the next route is dropped when the cache is full; moves on, so that none is spared. */
  #hand = 0;

  constructor(options: { readonly routesMax: number }) {
    this.#routesMax = options.routesMax;
  }

  get size(): number {
    return this.#routes.length;
  }

  /** All routes in key order. */
  routes(): readonly ShardMeta[] {
    return this.#routes;
  }

  at(key: Uint8Array): ShardMeta | undefined {
    const route = this.#routes[this.#firstEndingBehind(key)];
    return route !== undefined && rangeContains(route, key) ? route : undefined;
  }

  /** True when the shard was news. A range that holds nothing is none: peers may send anything. */
  insert(shard: ShardMeta): boolean {
    if (shard.end.length > 0 && compareBytes(shard.start, shard.end) >= 0) return false;
    const from = this.#firstEndingBehind(shard.start);
    const to = this.#firstStartingAt(shard.end);
    const overlaps = this.#routes.slice(from, to);
    if (overlaps.some((route) => !isReplacedBy(route, shard))) return false;
    this.#routes.splice(from, overlaps.length, shard);
    if (this.#routes.length > this.#routesMax) this.#dropOne(shard);
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
    this.#hand = (this.#hand + 1) % this.#routes.length;
    if (this.#routes[this.#hand] === kept) this.#hand = (this.#hand + 1) % this.#routes.length;
    const [dropped] = this.#routes.splice(this.#hand, 1);
    if (dropped !== undefined) this.#leaders.delete(dropped.id);
  }

  /** Position of the first route that ends behind the key: the one that holds it, or follows it. */
  #firstEndingBehind(key: Uint8Array): number {
    return this.#search((route) => endsBehind(route, key));
  }

  /** Position of the first route that starts at or behind the end of a range. */
  #firstStartingAt(end: Uint8Array): number {
    if (end.length === 0) return this.#routes.length;
    return this.#search((route) => compareBytes(route.start, end) >= 0);
  }

  /** The first position from which on the condition holds. */
  #search(holds: (route: ShardMeta) => boolean): number {
    let low = 0;
    let high = this.#routes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const route = this.#routes[middle];
      if (route === undefined || holds(route)) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

function endsBehind(range: KeyRange, key: Uint8Array): boolean {
  return range.end.length === 0 || compareBytes(range.end, key) > 0;
}

/** Equal generations of two shards cannot overlap by right; then the later word counts. */
function isReplacedBy(known: ShardMeta, shard: ShardMeta): boolean {
  if (known.epoch.generation !== shard.epoch.generation) {
    return known.epoch.generation < shard.epoch.generation;
  }
  return known.id !== shard.id || known.epoch.confVersion < shard.epoch.confVersion;
}
