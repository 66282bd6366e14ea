// Numbers for dashboards that are looked at now and then instead of being counted along the way.

import { NO_ID } from '../../kernel/ids.ts';
import type { Observer } from '../../kernel/observer.ts';
import type { Replica } from '../shard/replica.ts';
import type { Engine } from '../storage/engine.ts';

export interface SampledStore {
  readonly engine: Pick<Engine, 'stats'>;
  readonly observer: Observer;
  readonly replicas: Iterable<Replica>;
}

export function sampleStore({ engine, observer, replicas: all }: SampledStore): void {
  const { metrics } = observer;
  const replicas = [...all];
  const leading = replicas.filter((replica) => replica.isLeader).length;
  const led = replicas.filter((replica) => replica.leader !== NO_ID).length;
  metrics.gauge('matrixkv_store_shards', replicas.length);
  metrics.gauge('matrixkv_store_leaders', leading);
  metrics.gauge('matrixkv_raft_has_leader', led / Math.max(1, replicas.length));
  const { bytes, filesAtLevel0 } = engine.stats();
  metrics.gauge('matrixkv_storage_bytes', bytes);
  metrics.gauge('matrixkv_storage_files_level0', filesAtLevel0);
}
