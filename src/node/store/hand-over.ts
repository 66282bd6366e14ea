// Handing leaderships over before a node stops, so that nobody waits for an election time-out.

import type { ReplicaId } from '../../kernel/ids.ts';
import type { Replica } from '../shard/replica.ts';
import { replicaById } from '../shard/shard-meta.ts';

/** Starts a transfer for every leader that has an heir. Returns the leaders that do. */
export function handOver(replicas: Iterable<Replica>): readonly Replica[] {
  return [...replicas].filter((replica) => {
    const heir = replica.isLeader ? bestFollower(replica) : undefined;
    return heir !== undefined && replica.transferLeader(heir);
  });
}

/** The voter that is known to have the most of the log. */
function bestFollower(replica: Replica): ReplicaId | undefined {
  const { progress } = replica.status();
  let best: { readonly id: ReplicaId; readonly match: number } | undefined;
  for (const [id, follower] of progress ?? []) {
    const isVoter = replicaById(replica.meta, id)?.role === 'voter';
    if (!isVoter || !follower.isRecentlyActive) continue;
    if (best === undefined || follower.match > best.match) best = { id, match: follower.match };
  }
  return best?.id;
}
