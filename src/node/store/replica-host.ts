// All replicas on this node and the ranges they claim. No two claims overlap: of initialised
// replicas, of snapshots on their way in, of ranges still being destroyed, of quarantined replicas.

import { assert } from '../../kernel/assert.ts';
import { compareBytes, type KeyRange, rangeContains, rangesOverlap } from '../../kernel/bytes.ts';
import { PROPHET_SHARD, type ShardId } from '../../kernel/ids.ts';
import type { Replica } from '../shard/replica.ts';
import type { ShardMeta } from '../shard/shard-meta.ts';

/** `opening`: the state is on disk or on its way there, the replica is not in memory yet. */
export type ClaimKind = 'opening' | 'snapshot' | 'destroy' | 'quarantine';

export class ReplicaHost {
  readonly #replicas = new Map<ShardId, Replica>();
  readonly #claims = new Map<ShardId, { readonly kind: ClaimKind; readonly range: KeyRange }>();
  /** Initialised user shards by start key; rebuilt when one comes, goes or changes its range. */
  #ordered: Replica[] = [];
  #isOrdered = true;

  get(shardId: ShardId): Replica | undefined {
    return this.#replicas.get(shardId);
  }

  all(): IterableIterator<Replica> {
    return this.#replicas.values();
  }

  /** The replica of a user shard that knows its range. */
  userShard(shardId: ShardId): Replica | undefined {
    const replica = this.#replicas.get(shardId);
    const isUserShard = shardId !== PROPHET_SHARD && replica?.isInitialised === true;
    return isUserShard ? replica : undefined;
  }

  add(replica: Replica): void {
    assert(
      !this.#replicas.has(replica.shardId),
      `Shard ${replica.shardId} has a replica here already`,
    );
    this.#replicas.set(replica.shardId, replica);
    this.#isOrdered = false;
  }

  remove(shardId: ShardId): void {
    this.#replicas.delete(shardId);
    this.#isOrdered = false;
  }

  /** A range changed, or a replica came to know its own. */
  rangesChanged(): void {
    this.#isOrdered = false;
  }

  /** Initialised user shards in key order. */
  ordered(): readonly Replica[] {
    if (this.#isOrdered) return this.#ordered;
    this.#ordered = [...this.#replicas.values()]
      .filter((replica) => replica.shardId !== PROPHET_SHARD && replica.isInitialised)
      .sort((a, b) => compareBytes(a.meta.start, b.meta.start));
    this.#isOrdered = true;
    return this.#ordered;
  }

  /** The shard here whose range holds this key. */
  at(key: Uint8Array): Replica | undefined {
    const ordered = this.ordered();
    let low = 0;
    let high = ordered.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const replica = ordered[middle];
      if (replica !== undefined && compareBytes(replica.meta.start, key) <= 0) low = middle + 1;
      else high = middle;
    }
    const candidate = ordered[low - 1];
    return candidate !== undefined && rangeContains(candidate.meta, key) ? candidate : undefined;
  }

  overlapping(range: KeyRange): readonly ShardMeta[] {
    return this.ordered()
      .map((replica) => replica.meta)
      .filter((meta) => rangesOverlap(meta, range));
  }

  claim(shardId: ShardId, kind: ClaimKind, range: KeyRange): void {
    this.#claims.set(shardId, { kind, range });
  }

  /** Ends a claim of this kind. One that another kind has taken over meanwhile stays. */
  release(shardId: ShardId, kind: ClaimKind): void {
    if (this.claimOf(shardId) === kind) this.#claims.delete(shardId);
  }

  claimOf(shardId: ShardId): ClaimKind | undefined {
    return this.#claims.get(shardId)?.kind;
  }

  /** Why a new replica with this range cannot live here, or undefined when it can. */
  conflict(shardId: ShardId, range: KeyRange): string | undefined {
    const own = this.claimOf(shardId);
    if (own !== undefined && own !== 'snapshot') return `the shard is busy here (${own})`;
    // What Prophet knows lies apart from all user keys.
    if (shardId === PROPHET_SHARD) return undefined;
    for (const [id, claim] of this.#claims) {
      if (id === shardId || id === PROPHET_SHARD) continue;
      if (rangesOverlap(claim.range, range)) {
        return `shard ${id} claims the range (${claim.kind})`;
      }
    }
    const other = this.overlapping(range).find((meta) => meta.id !== shardId);
    return other === undefined ? undefined : `shard ${other.id} holds a part of the range`;
  }
}
