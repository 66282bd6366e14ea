// The disk side of a split: the whole first state of every new shard goes into the same batch as the
// shrunken old one, so that no crash can leave a hole or an overlap (lesson 8).

import { NO_ID, type ShardId, type StoreId } from '../../kernel/ids.ts';
import type { HardState } from '../raft/messages.ts';
import { hardStateKey } from '../storage/keys.ts';
import type { SplitPart } from './commands.ts';
import type { KvMachine } from './kv-machine.ts';
import { replicaOn, type ShardMeta } from './shard-meta.ts';
import {
  buryReplica,
  decodeHardState,
  minReplicaId,
  putApplyState,
  putHardState,
  putMeta,
} from './shard-records.ts';
import { FIRST_ENTRY } from './split.ts';
import type { ApplyBatch } from './state-machine.ts';
import type { Turn } from './turn.ts';

export interface CreatedShards {
  readonly parts: readonly SplitPart[];
  readonly created: readonly ShardMeta[];
  readonly machine: KvMachine;
  readonly storeId: StoreId;
  readonly turn: Turn;
}

/** Writes the new shards. Returns those that now live on this store. */
export function writeCreated(options: CreatedShards): readonly ShardMeta[] {
  const { created, parts, machine, turn } = options;
  const { lastVersion } = machine.counters;
  return created.filter((meta, position) => {
    const local = replicaOn(meta, options.storeId);
    const part = parts[position];
    if (local === undefined || part === undefined) return false;
    if (minReplicaId(turn.batch, meta.id) > local.replicaId) {
      // This replica of the new shard was removed again before this store heard of the split.
      buryReplica(turn.batch, { meta, replicaId: local.replicaId });
      turn.effect({ type: 'removed', shardId: meta.id, meta });
      return false;
    }
    turn.reserve(meta);
    writeFirstState(turn.batch, meta, local.replicaId);
    machine.splitOff(
      meta.id,
      { lastVersion, sizeBytes: part.sizeBytes, keys: part.keys },
      turn.batch,
    );
    return true;
  });
}

/** Meta, log position and hard state of a replica that starts its life on this store. */
export function writeFirstState(batch: ApplyBatch, meta: ShardMeta, replicaId: number): void {
  putMeta(batch, { state: 'normal', meta, replicaId, minReplicaId: replicaId });
  putApplyState(batch, meta.id, { applied: FIRST_ENTRY, truncated: FIRST_ENTRY });
  putHardState(batch, meta.id, firstHardState(batch, meta.id));
}

/** A vote that an uninitialised core gave before the split came must not be forgotten. */
function firstHardState(batch: ApplyBatch, shardId: ShardId): HardState {
  const first = { term: FIRST_ENTRY.term, vote: NO_ID, commit: FIRST_ENTRY.index };
  const key = hardStateKey(shardId);
  const bytes = batch.get(key);
  if (bytes === undefined) return first;
  const voted = decodeHardState(key, bytes);
  return voted.term < first.term ? first : { ...first, term: voted.term, vote: voted.vote };
}
