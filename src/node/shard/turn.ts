// One turn of the store loop as the replicas see it: a batch that all of them share and that becomes
// durable at once, messages that may leave before that, and effects that the store carries out after.

import type { ReplicaId, ShardId } from '../../kernel/ids.ts';
import type { Message, SnapshotMeta } from '../raft/messages.ts';
import type { ShardMeta } from './shard-meta.ts';
import type { ApplyBatch } from './state-machine.ts';

/** What a replica asks of the store once the turn is durable. */
export type Effect =
  | {
      readonly type: 'split';
      readonly parent: ShardId;
      readonly created: readonly ShardMeta[];
      readonly wasLeader: boolean;
    }
  /** The replica was removed from its group; its tombstone is in the batch. */
  | { readonly type: 'removed'; readonly shardId: ShardId; readonly meta: ShardMeta }
  | { readonly type: 'snapshot-wanted'; readonly shardId: ShardId; readonly to: ReplicaId }
  /** The core accepted a snapshot that lies staged: replace the state by it. */
  | { readonly type: 'install'; readonly shardId: ShardId; readonly snapshot: SnapshotMeta }
  /** So many bytes of the log were deleted. */
  | { readonly type: 'log-cut'; readonly shardId: ShardId; readonly bytes: number }
  /** Leader, members or range changed: Prophet wants to know. */
  | { readonly type: 'changed'; readonly shardId: ShardId };

export interface Turn {
  readonly batch: ApplyBatch;
  /** May leave at once. */
  send(shardId: ShardId, message: Message): void;
  effect(effect: Effect): void;
  /**
   * A split writes the first state of this new shard. Until its replica is opened the range is
   * reserved: messages that come too early must not make a core over it (d.6, 5). An uninitialised
   * core that is there already is forgotten; its durable vote stays.
   */
  reserve(meta: ShardMeta): void;
}
