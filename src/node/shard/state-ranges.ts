// Which engine keys are the whole applied state of a shard: what a snapshot copies, what its
// installation replaces, and what is destroyed with the replica.

import type { KeyRange } from '../../kernel/bytes.ts';
import { PROPHET_SHARD } from '../../kernel/ids.ts';
import { dataRange, machineRange, prophetRange } from '../storage/keys.ts';
import type { ShardMeta } from './shard-meta.ts';

export function stateRangesOf(meta: ShardMeta): readonly KeyRange[] {
  if (meta.id === PROPHET_SHARD) return [prophetRange()];
  return [machineRange(meta.id), dataRange(meta)];
}
