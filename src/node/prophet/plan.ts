// What Prophet decides to do with one shard, and the steps that it takes. The order of the steps is
// the safe one of d.7: a dead voter leaves before its successor votes, a live one after.

import { unreachable } from '../../kernel/assert.ts';
import type { ReplicaId, ShardId, StoreId } from '../../kernel/ids.ts';
import type { Step } from './protocol.ts';

interface PlanBase {
  readonly shardId: ShardId;
  /** For people: why this is done. */
  readonly reason: string;
  /** True when nothing is broken: few of these run at a time. */
  readonly isBalance: boolean;
}

export type Plan =
  /** One replica more, on this store. */
  | (PlanBase & { readonly type: 'add'; readonly storeId: StoreId })
  /** A new replica takes the place of a dead one. */
  | (PlanBase & { readonly type: 'replace'; readonly deadId: ReplicaId; readonly storeId: StoreId })
  /** A learner that is there already takes the place of a dead one. */
  | (PlanBase & {
      readonly type: 'succeed';
      readonly deadId: ReplicaId;
      readonly heirId: ReplicaId;
    })
  /** A live replica changes its store. */
  | (PlanBase & { readonly type: 'move'; readonly fromId: ReplicaId; readonly storeId: StoreId })
  | (PlanBase & { readonly type: 'promote'; readonly replicaId: ReplicaId })
  | (PlanBase & { readonly type: 'remove'; readonly replicaId: ReplicaId })
  | (PlanBase & { readonly type: 'transfer-leader'; readonly replicaId: ReplicaId });

/** The store that a plan adds a replica to; undefined when it adds none. */
export function addedTo(plan: Plan): StoreId | undefined {
  return 'storeId' in plan ? plan.storeId : undefined;
}

/** The replica that a plan takes away; undefined when it takes none. */
export function takenAway(plan: Plan): ReplicaId | undefined {
  if (plan.type === 'replace' || plan.type === 'succeed') return plan.deadId;
  if (plan.type === 'move') return plan.fromId;
  return plan.type === 'remove' ? plan.replicaId : undefined;
}

/** The steps in order. `newId` names the replica that a plan adds. */
export function stepsOf(plan: Plan, newId: ReplicaId): readonly Step[] {
  switch (plan.type) {
    case 'add':
      return [
        { type: 'add-learner', replicaId: newId, storeId: plan.storeId },
        { type: 'promote', replicaId: newId },
      ];
    case 'replace':
      return [
        { type: 'add-learner', replicaId: newId, storeId: plan.storeId },
        { type: 'remove', replicaId: plan.deadId },
        { type: 'promote', replicaId: newId },
      ];
    case 'succeed':
      return [
        { type: 'remove', replicaId: plan.deadId },
        { type: 'promote', replicaId: plan.heirId },
      ];
    case 'move':
      return [
        { type: 'add-learner', replicaId: newId, storeId: plan.storeId },
        { type: 'promote', replicaId: newId },
        { type: 'remove', replicaId: plan.fromId },
      ];
    case 'promote':
      return [{ type: 'promote', replicaId: plan.replicaId }];
    case 'remove':
      return [{ type: 'remove', replicaId: plan.replicaId }];
    case 'transfer-leader':
      return [{ type: 'transfer-leader', replicaId: plan.replicaId }];
    default:
      return unreachable(plan);
  }
}
