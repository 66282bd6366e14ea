// The first shards of a cluster: with all replicas at once, so that the first write is as safe as
// the last (d.11; the ancestor began with a single replica and grew).

import { EMPTY } from '../../kernel/bytes.ts';
import type { StoreId } from '../../kernel/ids.ts';
import type { Epoch, ShardMeta } from '../shard/shard-meta.ts';

const FIRST_EPOCH: Epoch = { generation: 1, confVersion: 1 };

/** Cuts the whole range at the keys. Takes one id for each shard and each replica from `firstId` on. */
export function initialShards(
  plan: { readonly storeIds: readonly StoreId[]; readonly splitKeys: readonly Uint8Array[] },
  firstId: number,
): readonly ShardMeta[] {
  const idsPerShard = plan.storeIds.length + 1;
  return [...plan.splitKeys, EMPTY].map((end, index) => {
    const id = firstId + index * idsPerShard;
    return {
      id,
      start: plan.splitKeys[index - 1] ?? EMPTY,
      end,
      epoch: FIRST_EPOCH,
      replicas: plan.storeIds.map((storeId, position) => ({
        replicaId: id + 1 + position,
        storeId,
        role: 'voter',
      })),
    };
  });
}

/** True while neither range nor members changed since the bootstrap. */
export function isInitial(shard: ShardMeta): boolean {
  return (
    shard.epoch.generation === FIRST_EPOCH.generation &&
    shard.epoch.confVersion === FIRST_EPOCH.confVersion
  );
}
