// The brake against mass failure (lesson 13): when many stores fall silent together it is far more
// likely that a network or a zone is gone for a while than that the disks are. Copying everything
// onto the few stores that are left would then finish them too.

import type { ClusterInfo } from '../cluster-view.ts';
import { LIMITS } from '../prophet-config.ts';

export interface BrakeState {
  /** When the mass failure began; undefined while there is none. */
  readonly since: number | undefined;
}

export const RELEASED: BrakeState = { since: undefined };

/** What the brake remembers after this look at the cluster. */
export function watchForMassFailure(cluster: ClusterInfo, before: BrakeState): BrakeState {
  if (!isMassFailure(cluster)) return RELEASED;
  return { since: before.since ?? cluster.now };
}

/** Holds for a while only: what has not come back by then is really gone. */
export function isBraked(
  brake: BrakeState,
  at: { readonly now: number; readonly brakeMs: number },
): boolean {
  return brake.since !== undefined && at.now - brake.since < at.brakeMs;
}

/** Stores that hold nothing and say nothing do not count: they were emptied and never removed. */
function isMassFailure(cluster: ClusterInfo): boolean {
  const holders = new Set(
    [...cluster.shards.values()].flatMap((shard) =>
      shard.meta.replicas.map((replica) => replica.storeId),
    ),
  );
  let down = 0;
  let all = 0;
  for (const store of cluster.stores.values()) {
    if (store.state === 'removed') continue;
    const isDown = store.liveness === 'down';
    if (isDown && !holders.has(store.id)) continue;
    all += 1;
    if (isDown) down += 1;
  }
  return down >= LIMITS.brakeStoresMin && down * 100 > all * LIMITS.brakePercent;
}
