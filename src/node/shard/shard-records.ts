// What a store keeps on disk about each shard beside the log and the data: whose replica it is and
// in what state, and how far it has applied. All sealed, all versioned.

import { ByteReader, ByteWriter, DecodeError } from '../../kernel/byte-codec.ts';
import { type EntryId, NO_ID, type ReplicaId, type ShardId } from '../../kernel/ids.ts';
import type { HardState } from '../raft/messages.ts';
import { openRecord, sealRecord } from '../storage/checksum.ts';
import { applyStateKey, destroyKey, hardStateKey, metaKey } from '../storage/keys.ts';
import type { ShardMeta } from './shard-meta.ts';
import { decodeShardMeta, encodeShardMeta } from './shard-meta-codec.ts';
import type { ApplyBatch } from './state-machine.ts';

/**
 * `normal` serves. `applying` is in the middle of replacing its state by a staged snapshot and goes
 * on with that at start. `tombstone` was removed: ids below `minReplicaId` never come back (d.7).
 */
export type ReplicaState = 'normal' | 'applying' | 'tombstone';

export interface MetaRecord {
  readonly state: ReplicaState;
  readonly meta: ShardMeta;
  /** The id of the replica on this store. */
  readonly replicaId: ReplicaId;
  /** Messages to replicas with a lower id are answered by nobody. */
  readonly minReplicaId: ReplicaId;
  /** While `applying`: what the replica held before. It may have been wider, and is cleared too. */
  readonly replaced?: ShardMeta;
}

/** Written in the same batch as the data that it counts (lesson 1). */
export interface ApplyState {
  readonly applied: EntryId;
  /** The last entry that is no longer in the log. */
  readonly truncated: EntryId;
}

const RECORD_VERSION = 1;
const STATES: readonly ReplicaState[] = ['normal', 'applying', 'tombstone'];

export function putMeta(batch: ApplyBatch, record: MetaRecord): void {
  const key = metaKey(record.meta.id);
  const writer = new ByteWriter(128).u8(STATES.indexOf(record.state));
  writer.u64(record.replicaId).u64(record.minReplicaId);
  encodeShardMeta(writer, record.meta).bool(record.replaced !== undefined);
  if (record.replaced !== undefined) encodeShardMeta(writer, record.replaced);
  batch.put(key, sealRecord(RECORD_VERSION, key, writer.finish()));
}

/** Throws CorruptRecordError or DecodeError when the record is damaged. */
export function decodeMeta(key: Uint8Array, bytes: Uint8Array): MetaRecord {
  const reader = new ByteReader(openRecord(key, bytes).payload);
  const state = STATES[reader.u8()];
  if (state === undefined) throw new DecodeError('Replica is in an unknown state');
  const replicaId = reader.u64();
  const minReplicaId = reader.u64();
  const record = { state, replicaId, minReplicaId, meta: decodeShardMeta(reader) };
  return reader.bool() ? { ...record, replaced: decodeShardMeta(reader) } : record;
}

/** Replicas of this shard with a lower id never come back to this store. */
export function minReplicaId(
  reader: { get(key: Uint8Array): Uint8Array | undefined },
  shardId: ShardId,
): ReplicaId {
  const key = metaKey(shardId);
  const bytes = reader.get(key);
  return bytes === undefined ? NO_ID : decodeMeta(key, bytes).minReplicaId;
}

export function putHardState(batch: ApplyBatch, shardId: ShardId, state: HardState): void {
  const key = hardStateKey(shardId);
  const writer = new ByteWriter(24).u64(state.term).u64(state.vote).u64(state.commit);
  batch.put(key, sealRecord(RECORD_VERSION, key, writer.finish()));
}

export function decodeHardState(key: Uint8Array, bytes: Uint8Array): HardState {
  const reader = new ByteReader(openRecord(key, bytes).payload);
  return { term: reader.u64(), vote: reader.u64(), commit: reader.u64() };
}

export function putApplyState(batch: ApplyBatch, shardId: ShardId, state: ApplyState): void {
  const key = applyStateKey(shardId);
  const writer = new ByteWriter(32).u64(state.applied.term).u64(state.applied.index);
  writer.u64(state.truncated.term).u64(state.truncated.index);
  batch.put(key, sealRecord(RECORD_VERSION, key, writer.finish()));
}

export function decodeApplyState(key: Uint8Array, bytes: Uint8Array): ApplyState {
  const reader = new ByteReader(openRecord(key, bytes).payload);
  return {
    applied: { term: reader.u64(), index: reader.u64() },
    truncated: { term: reader.u64(), index: reader.u64() },
  };
}

/**
 * Marks a replica as gone for good: ids up to its own never come back, and the range waits for its
 * destruction, which survives a crash in between (d.3).
 */
export function buryReplica(
  batch: ApplyBatch,
  replica: { readonly meta: ShardMeta; readonly replicaId: ReplicaId },
): void {
  const { meta, replicaId } = replica;
  // A later replica may have been buried here before: its id must not become free again.
  const lowest = Math.max(minReplicaId(batch, meta.id), replicaId + 1);
  putMeta(batch, { state: 'tombstone', meta, replicaId, minReplicaId: lowest });
  batch.put(destroyKey(meta.id), encodeDestroy(meta));
}

function encodeDestroy(meta: ShardMeta): Uint8Array {
  const key = destroyKey(meta.id);
  return sealRecord(RECORD_VERSION, key, encodeShardMeta(new ByteWriter(128), meta).finish());
}

/** The shard whose local state is still to be destroyed. */
export function decodeDestroy(key: Uint8Array, bytes: Uint8Array): ShardMeta {
  return decodeShardMeta(new ByteReader(openRecord(key, bytes).payload));
}
