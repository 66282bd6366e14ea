// One step of membership change (d.7): a learner comes, a learner becomes a voter, a replica goes.
// The change is an entry of the log; its effect comes with its application, on every replica alike.

import { ByteReader, ByteWriter, DecodeError } from '../../kernel/byte-codec.ts';
import type { ReplicaId, StoreId } from '../../kernel/ids.ts';
import { type Epoch, replicaById, replicaOn, type ShardMeta } from './shard-meta.ts';

export type ConfChange =
  | {
      readonly type: 'add-learner';
      readonly epoch: Epoch;
      readonly replicaId: ReplicaId;
      readonly storeId: StoreId;
    }
  | { readonly type: 'promote'; readonly epoch: Epoch; readonly replicaId: ReplicaId }
  | { readonly type: 'remove'; readonly epoch: Epoch; readonly replicaId: ReplicaId };

const CHANGE_VERSION = 1;
const TYPES = ['add-learner', 'promote', 'remove'] as const;

export function encodeConfChange(change: ConfChange): Uint8Array {
  const writer = new ByteWriter(48).u8(CHANGE_VERSION).u8(TYPES.indexOf(change.type));
  writer.u64(change.epoch.generation).u64(change.epoch.confVersion).u64(change.replicaId);
  if (change.type === 'add-learner') writer.u64(change.storeId);
  return writer.finish();
}

/** Throws DecodeError. */
export function decodeConfChange(bytes: Uint8Array): ConfChange {
  const reader = new ByteReader(bytes);
  const change = decodeChange(reader);
  reader.end();
  return change;
}

function decodeChange(reader: ByteReader): ConfChange {
  const version = reader.u8();
  if (version !== CHANGE_VERSION) throw new DecodeError(`Unknown change version ${version}`);
  const type = TYPES[reader.u8()];
  const epoch = { generation: reader.u64(), confVersion: reader.u64() };
  const replicaId = reader.u64();
  switch (type) {
    case undefined:
      throw new DecodeError('Unknown kind of membership change');
    case 'add-learner':
      return { type, epoch, replicaId, storeId: reader.u64() };
    default:
      return { type, epoch, replicaId };
  }
}

/**
 * The shard after the change, or why the change does nothing. Equal on all replicas: it depends on
 * the meta and the change alone.
 */
export function changedMeta(
  meta: ShardMeta,
  change: ConfChange,
):
  | { readonly type: 'changed'; readonly meta: ShardMeta }
  | { readonly type: 'refused'; readonly reason: string } {
  if (change.epoch.confVersion !== meta.epoch.confVersion) {
    return refused(
      `members are at version ${meta.epoch.confVersion}, not ${change.epoch.confVersion}`,
    );
  }
  const existing = replicaById(meta, change.replicaId);
  switch (change.type) {
    case 'add-learner': {
      if (existing !== undefined) return refused(`replica ${change.replicaId} is a member already`);
      const other = replicaOn(meta, change.storeId);
      if (other !== undefined)
        return refused(`store ${change.storeId} holds replica ${other.replicaId}`);
      const learner = {
        replicaId: change.replicaId,
        storeId: change.storeId,
        role: 'learner',
      } as const;
      return changed(meta, [...meta.replicas, learner]);
    }
    case 'promote':
      if (existing?.role !== 'learner') return refused(`replica ${change.replicaId} is no learner`);
      return changed(meta, [
        ...meta.replicas.filter((replica) => replica !== existing),
        { ...existing, role: 'voter' },
      ]);
    case 'remove':
      if (existing === undefined) return refused(`replica ${change.replicaId} is no member`);
      if (isLastVoter(meta, change.replicaId)) return refused('it is the last voter');
      return changed(
        meta,
        meta.replicas.filter((replica) => replica !== existing),
      );
  }
}

function isLastVoter(meta: ShardMeta, replicaId: ReplicaId): boolean {
  return !meta.replicas.some(
    (replica) => replica.role === 'voter' && replica.replicaId !== replicaId,
  );
}

function changed(
  meta: ShardMeta,
  replicas: ShardMeta['replicas'],
): { readonly type: 'changed'; readonly meta: ShardMeta } {
  const epoch = { ...meta.epoch, confVersion: meta.epoch.confVersion + 1 };
  const sorted = [...replicas].sort((a, b) => a.replicaId - b.replicaId);
  return { type: 'changed', meta: { ...meta, epoch, replicas: sorted } };
}

function refused(reason: string): { readonly type: 'refused'; readonly reason: string } {
  return { type: 'refused', reason };
}
