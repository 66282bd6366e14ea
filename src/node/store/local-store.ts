// The face of the store loop: what the rest of the node may ask of the replicas that live here.
// Everything is addressed to a shard at a generation; a wrong address is refused with the routes
// that this store knows (lesson 10).

import type { MatrixError } from '../../kernel/errors.ts';
import type { ReplicaId, ShardId, StoreId, Term } from '../../kernel/ids.ts';
import type { WriteCommand } from '../shard/commands.ts';
import type { ConfChange } from '../shard/conf-change.ts';
import type { GetResult, ScanRequest, ScanResult, WriteResult } from '../shard/kv-types.ts';
import type { Epoch, ShardMeta } from '../shard/shard-meta.ts';

/** One replica on this store, as it is at this moment. */
export interface LocalShard {
  readonly meta: ShardMeta;
  readonly replicaId: ReplicaId;
  readonly term: Term;
  readonly isLeader: boolean;
  /** As far as this replica knows; NO_ID when it knows none. */
  readonly leaderReplicaId: ReplicaId;
  /** For how long no leader was known, in milliseconds; 0 when one is. */
  readonly leaderlessMs: number;
  readonly sizeBytes: number;
  readonly keys: number;
  /** What the leader knows of its followers; empty elsewhere. */
  readonly health: readonly ReplicaHealth[];
}

export interface ReplicaHealth {
  readonly replicaId: ReplicaId;
  /** Silent for so long; 0 when it answers. */
  readonly downMs: number;
  /** Far behind, or receiving a snapshot. */
  readonly isPending: boolean;
}

/** What Prophet may ask the leader of a shard to do; void once the epoch moved on. */
export type StoreStep =
  | { readonly type: 'conf-change'; readonly shardId: ShardId; readonly change: ConfChange }
  | {
      readonly type: 'transfer-leader';
      readonly shardId: ShardId;
      readonly epoch: Epoch;
      readonly to: ReplicaId;
    }
  | {
      readonly type: 'split';
      readonly shardId: ShardId;
      readonly epoch: Epoch;
      readonly keys: readonly Uint8Array[];
    };

export interface StoreListener {
  /** Leader, members or range of a shard here changed: tell Prophet soon. */
  onShardChanged(shardId: ShardId): void;
  /** Consecutive new ids from Prophet, for a split. Resolves with the first. */
  allocateIds(count: number): Promise<number>;
  /**
   * A newer replica of this shard is addressed at this store while an old one is here, or this one
   * hears from nobody: ask the group whether it is still a member (d.7).
   */
  onMaybeStale(shardId: ShardId): void;
  /** A storage failure or a broken invariant: the process must end. */
  onFatal(error: unknown): void;
}

/**
 * Errors of all requests on keys: NOT_LEADER with the leader, EPOCH_NOT_MATCH and SHARD_NOT_FOUND
 * with the local shards that overlap, OVERLOADED, TIMEOUT, OUTCOME_UNKNOWN, SESSION_EXPIRED.
 */
export interface LocalStore {
  readonly storeId: StoreId;
  write(
    request: { readonly shardId: ShardId; readonly command: WriteCommand },
    deadline: number,
  ): Promise<WriteResult>;
  get(
    request: { readonly shardId: ShardId; readonly generation: number; readonly key: Uint8Array },
    deadline: number,
  ): Promise<GetResult>;
  /** One page inside one shard; `next` is set when the page or the shard ends before the range does. */
  scan(
    request: { readonly shardId: ShardId; readonly generation: number; readonly scan: ScanRequest },
    deadline: number,
  ): Promise<ScanResult>;

  /** The initialised user shards that have a replica here, in key order. */
  shards(): readonly LocalShard[];
  shard(shardId: ShardId): LocalShard | undefined;
  shardAt(key: Uint8Array): LocalShard | undefined;

  /** Creates the replica of a first shard of the cluster; harmless when it is there already. */
  createInitial(meta: ShardMeta): Promise<void>;
  /** Carries out a step if this replica leads and the epoch fits; otherwise says why not. */
  takeStep(
    step: StoreStep,
  ): { readonly type: 'taken' } | { readonly type: 'refused'; readonly error: MatrixError };
  /**
   * A member that applied it sent this newer list of members. If this store's replica is not in it,
   * the replica is destroyed. The only way in which a replica that slept is removed (lesson 9).
   */
  acceptProof(proof: ShardMeta): void;
}
