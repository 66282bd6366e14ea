// Making a shard's leader hand over to the replica on a given store.

import { MatrixError } from '../../kernel/errors.ts';
import type { ShardId, StoreId } from '../../kernel/ids.ts';
import { replicaById, replicaOn } from '../shard/shard-meta.ts';
import type { LocalShard, LocalStore } from '../store/local-store.ts';

export interface LeaderTransfer {
  readonly shardId: ShardId;
  /** Where the new leader is to be. */
  readonly storeId: StoreId;
}

/** Starts the transfer if the replica here leads. Refuses with the reason, or NOT_LEADER and a hint. */
export function transferLocally(store: LocalStore, transfer: LeaderTransfer): void {
  const { shardId, storeId } = transfer;
  const shard = store.shard(shardId);
  if (shard === undefined) {
    throw new MatrixError('SHARD_NOT_FOUND', `Shard ${shardId} is not on store ${store.storeId}`);
  }
  if (!shard.isLeader) throw notLeader(shard);
  const target = replicaOn(shard.meta, storeId);
  if (target?.role !== 'voter') {
    const text = `Shard ${shardId} has no voter on store ${storeId} that could lead it`;
    throw new MatrixError('INVALID_ARGUMENT', text);
  }
  if (target.replicaId === shard.replicaId) return;
  const { epoch } = shard.meta;
  const taken = store.takeStep({ type: 'transfer-leader', shardId, epoch, to: target.replicaId });
  if (taken.type === 'refused') throw taken.error;
}

function notLeader({ meta, term, leaderReplicaId }: LocalShard): MatrixError {
  const leader = replicaById(meta, leaderReplicaId);
  const text = `The replica of shard ${meta.id} here does not lead it`;
  if (leader === undefined) return new MatrixError('NOT_LEADER', text);
  const { replicaId, storeId } = leader;
  return new MatrixError('NOT_LEADER', text, { hint: { leader: { replicaId, storeId, term } } });
}
