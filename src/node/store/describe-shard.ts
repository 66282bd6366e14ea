// One replica in the words of the store's face.

import { NO_ID, type ReplicaId } from '../../kernel/ids.ts';
import type { Replica } from '../shard/replica.ts';
import type { LocalShard, ReplicaHealth } from './local-store.ts';

export interface DescribeOptions {
  readonly now: number;
  /** When a replica was last heard of, on the node's clock. */
  readonly heardAt: (replicaId: ReplicaId) => number | undefined;
}

/** Silence shorter than this is no news: a few lost heartbeats. */
const SILENCE_MS = 2000;
/** A follower this many entries behind cannot take over or be promoted yet (d.7). */
const PENDING_ENTRIES = 64;

export function describeShard(replica: Replica, options: DescribeOptions): LocalShard {
  const { machine } = replica.machine;
  const counters = 'counters' in machine ? machine.counters : { sizeBytes: 0, keys: 0 };
  return {
    meta: replica.meta,
    replicaId: replica.replicaId,
    term: replica.term,
    isLeader: replica.isLeader,
    leaderReplicaId: replica.leader,
    leaderlessMs: replica.leader === NO_ID ? replica.leaderlessMs : 0,
    sizeBytes: counters.sizeBytes,
    keys: counters.keys,
    health: replica.isLeader ? healthOf(replica, options) : [],
  };
}

function healthOf(replica: Replica, { now, heardAt }: DescribeOptions): ReplicaHealth[] {
  const status = replica.status();
  return replica.meta.replicas
    .filter(({ replicaId }) => replicaId !== replica.replicaId)
    .map(({ replicaId }) => {
      const silence = now - (heardAt(replicaId) ?? replica.leaderSince);
      const progress = status.progress?.get(replicaId);
      const isCaughtUp =
        progress?.state === 'replicate' && progress.match + PENDING_ENTRIES >= status.commit;
      return { replicaId, downMs: silence > SILENCE_MS ? silence : 0, isPending: !isCaughtUp };
    });
}
