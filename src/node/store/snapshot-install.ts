// Puts a staged snapshot in the place of a shard's log and state, in pieces, so that the node's other
// shards go on meanwhile. The meta record says `applying` from before the first piece until the last:
// a crash in between resumes here at the next start (d.9).

import { must } from '../../kernel/assert.ts';
import type { KeyRange } from '../../kernel/bytes.ts';
import type { EntryId, ReplicaId, ShardId } from '../../kernel/ids.ts';
import type { ShardMeta } from '../shard/shard-meta.ts';
import { decodeMeta, putApplyState, putMeta } from '../shard/shard-records.ts';
import { decodePart } from '../shard/snapshot-codec.ts';
import { stateRangesOf } from '../shard/state-ranges.ts';
import { logRange, metaKey, stagingKey, stagingRange } from '../storage/keys.ts';
import { OverlayBatch } from '../storage/overlay-batch.ts';
import { type SweepOptions, sweepRanges } from './range-sweep.ts';
import { readStaging } from './staging.ts';

export interface InstalledSnapshot {
  readonly meta: ShardMeta;
  readonly last: EntryId;
}

/** Resolves when the new state is durable and the shard is `normal` again. Can be repeated. */
export async function installStaged(
  options: SweepOptions,
  replica: { readonly shardId: ShardId; readonly replicaId: ReplicaId },
): Promise<InstalledSnapshot> {
  const { engine, submit } = options;
  const { shardId, replicaId } = replica;
  const staging = must(readStaging(engine, shardId), `Snapshot of shard ${shardId} is staged`);
  const { meta, last } = staging;
  const old = replacedRanges(options, shardId);
  const log = logRange(shardId, 0, Number.MAX_SAFE_INTEGER);
  await sweepRanges(options, [...old, ...stateRangesOf(meta), log]);
  for (let chunk = 0; chunk < staging.chunks; chunk += 1) {
    const bytes = must(engine.get(stagingKey(shardId, chunk)), `Chunk ${chunk} is staged`);
    const part = decodePart(bytes);
    if (part.type === 'entries') {
      await submit(part.entries.map(({ key, value }) => ({ type: 'put', key, value })));
    }
  }
  const batch = new OverlayBatch(engine);
  putApplyState(batch, shardId, { applied: last, truncated: last });
  putMeta(batch, { state: 'normal', meta, replicaId, minReplicaId: replicaId });
  await submit(batch.operations());
  await sweepRanges(options, [stagingRange(shardId)]);
  return { meta, last };
}

/** Recorded in the turn in which the core accepted the snapshot. */
function replacedRanges({ engine }: SweepOptions, shardId: ShardId): readonly KeyRange[] {
  const key = metaKey(shardId);
  const record = must(engine.get(key), `Shard ${shardId} has a meta record while it is installed`);
  const { replaced } = decodeMeta(key, record);
  return replaced === undefined ? [] : stateRangesOf(replaced);
}
