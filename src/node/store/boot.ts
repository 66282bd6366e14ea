// Opens every replica that the disk knows. A replica whose records contradict themselves is
// quarantined: it neither votes nor serves, and its range stays claimed (d.3, lesson 23).

import { EMPTY, type KeyRange } from '../../kernel/bytes.ts';
import type { ShardId } from '../../kernel/ids.ts';
import type { Observer } from '../../kernel/observer.ts';
import type { StoredLog } from '../shard/log-store.ts';
import { readLog } from '../shard/log-store.ts';
import type { Replica } from '../shard/replica.ts';
import { decodeMeta, type MetaRecord } from '../shard/shard-records.ts';
import { metasRange, shardIdOfMetaKey, stagingsRange } from '../storage/keys.ts';
import { readPages } from '../storage/read-pages.ts';
import { type SweepOptions, sweepRanges } from './range-sweep.ts';
import type { ReplicaHost } from './replica-host.ts';
import { installStaged } from './snapshot-install.ts';

export interface BootOptions extends SweepOptions {
  readonly host: ReplicaHost;
  readonly observer: Observer;
  /** Builds the replica and loads its state machine. */
  readonly open: (record: MetaRecord, log: StoredLog) => Promise<Replica>;
}

const PAGE_SHARDS = 1000;
const PAGE_BYTES = 16 * 1024 * 1024;

export async function openReplicas(options: BootOptions): Promise<void> {
  await openAll(options);
  // Snapshots that were accepted are installed by now; all others come again from their beginning.
  await sweepRanges(options, [stagingsRange()]);
}

async function openAll(options: BootOptions): Promise<void> {
  const metas = { ...metasRange(), limit: PAGE_SHARDS, bytesMax: PAGE_BYTES };
  for await (const page of readPages(options.engine, metas)) {
    for (const { key, value } of page) await openOne(options, key, value);
  }
}

async function openOne(options: BootOptions, key: Uint8Array, value: Uint8Array): Promise<void> {
  const shardId = shardIdOfMetaKey(key);
  try {
    const record = decodeMeta(key, value);
    if (record.state === 'tombstone') return;
    const { meta } =
      record.state === 'applying'
        ? await installStaged(options, { shardId, replicaId: record.replicaId })
        : record;
    const log = await readLog(options.engine, shardId);
    options.host.add(await options.open({ ...record, meta, state: 'normal' }, log));
  } catch (error) {
    quarantine(options, { shardId, key, value, error });
  }
}

function quarantine(
  options: BootOptions,
  damaged: { shardId: ShardId; key: Uint8Array; value: Uint8Array; error: unknown },
): void {
  const { shardId, error } = damaged;
  const reason = error instanceof Error ? error.message : String(error);
  options.observer.log.error(
    { shard: shardId, reason },
    'Replica is damaged and stays out of service',
  );
  options.observer.metrics.count('matrixkv_store_quarantined_total');
  options.host.claim(shardId, 'quarantine', rangeOf(damaged.key, damaged.value));
}

/** The damage may be in the meta itself: then the replica may hold any key, and claims them all. */
function rangeOf(key: Uint8Array, value: Uint8Array): KeyRange {
  try {
    const { replaced, meta } = decodeMeta(key, value);
    return replaced ?? meta;
  } catch {
    return { start: EMPTY, end: EMPTY };
  }
}
