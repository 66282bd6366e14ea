// How far an operator has come, judged by what the shard's leader reports: the next step, a reason
// to wait, or the end. Pure; `operators.ts` keeps the table.

import type { ReplicaId } from '../../kernel/ids.ts';
import type { Epoch, ReplicaDescriptor } from '../shard/shard-meta.ts';
import { isNewerEpoch, replicaById, sameEpoch } from '../shard/shard-meta.ts';
import type { ClusterInfo, ShardInfo } from './cluster-view.ts';
import type { Plan } from './plan.ts';
import { addedTo } from './plan.ts';
import { LIMITS } from './prophet-config.ts';
import type { Step } from './protocol.ts';
import { isCaughtUp, isLive, keepsQuorum } from './quorum.ts';

export interface Operator {
  readonly plan: Plan;
  /** The replica that the plan adds or promotes; NO_ID when there is none. */
  readonly newId: ReplicaId;
  readonly steps: readonly Step[];
  /** So many steps were seen in reports. Never goes back: a replica id is never used twice. */
  readonly done: number;
  /** What the shard's epoch is when nobody else changes it. */
  readonly epoch: Epoch;
  /** When the current step became the current one. */
  readonly stepSince: number;
}

export type Verdict =
  | { readonly type: 'step'; readonly step: Step }
  | { readonly type: 'wait'; readonly reason: string }
  | { readonly type: 'done' }
  | { readonly type: 'cancel'; readonly reason: string };

/** The operator with the steps ticked off that a report shows as done. */
export function tickOff(operator: Operator, shard: ShardInfo, now: number): Operator {
  let current = operator;
  for (const step of operator.steps.slice(operator.done)) {
    if (!isVisible(step, shard)) break;
    const confVersion = current.epoch.confVersion + (step.type === 'transfer-leader' ? 0 : 1);
    const epoch = { ...current.epoch, confVersion };
    current = { ...current, done: current.done + 1, epoch, stepSince: now };
  }
  return current;
}

/** What to do now with an operator that was ticked off. */
export function judge(operator: Operator, shard: ShardInfo, cluster: ClusterInfo): Verdict {
  const { meta } = shard;
  const step = operator.steps[operator.done];
  if (isNewerEpoch(meta.epoch, operator.epoch)) return cancel('Epoch moved on unexpectedly');
  if (step === undefined) return { type: 'done' };
  if (!sameEpoch(meta.epoch, operator.epoch)) return wait('Reports are behind');
  if (cluster.now - operator.stepSince > timeoutMs(step)) return cancel('Step took too long');
  const overtaken = overtakenBy(operator, shard, cluster);
  if (overtaken !== '') return cancel(overtaken);
  if (shard.leader === undefined) return wait('Shard has no leader');
  if (step.type === 'remove') return judgeRemoval({ operator, shard, cluster }, step);
  if (keepsQuorum(cluster, shard, step)) return { type: 'step', step };
  return wait(step.type === 'promote' ? 'Replica is not caught up' : 'Too few replicas are live');
}

function judgeRemoval(
  at: { readonly operator: Operator; readonly shard: ShardInfo; readonly cluster: ClusterInfo },
  step: Step & { readonly type: 'remove' },
): Verdict {
  const { operator, shard, cluster } = at;
  const heir = replicaById(shard.meta, operator.newId);
  if (heir !== undefined && !isCaughtUp(cluster, shard, heir)) {
    return wait('Replica is not caught up');
  }
  if (shard.leader?.replicaId !== step.replicaId) {
    return keepsQuorum(cluster, shard, step)
      ? { type: 'step', step }
      : wait('Too few replicas are live');
  }
  // A leader is never removed: it hands over first (lesson 7).
  const next = shard.meta.replicas.find((replica) => mayLead(cluster, shard, replica));
  if (next === undefined) return wait('No other replica can lead');
  return { type: 'step', step: { type: 'transfer-leader', replicaId: next.replicaId } };
}

/** A voter other than the leader that could take over now, on a store that stays. */
function mayLead(cluster: ClusterInfo, shard: ShardInfo, replica: ReplicaDescriptor): boolean {
  return (
    replica.role === 'voter' &&
    replica.replicaId !== shard.leader?.replicaId &&
    cluster.stores.get(replica.storeId)?.state === 'serving' &&
    isCaughtUp(cluster, shard, replica)
  );
}

/** Why the plan makes no sense any more; empty while it does. */
function overtakenBy(operator: Operator, shard: ShardInfo, cluster: ClusterInfo): string {
  const { plan } = operator;
  const dead = 'deadId' in plan ? replicaById(shard.meta, plan.deadId) : undefined;
  if (dead !== undefined && isLive(cluster, shard, dead)) return 'Replica came back';
  const storeId = addedTo(plan);
  const target = storeId === undefined ? undefined : cluster.stores.get(storeId);
  if (storeId === undefined) return '';
  const isLost = target === undefined || target.liveness === 'down';
  // A shard that already gave up its dead replica goes on: fewer voters would be worse.
  const isLate = target?.state !== 'serving' && operator.done < 2;
  return isLost || isLate ? 'Target store is no longer available' : '';
}

function isVisible(step: Step, shard: ShardInfo): boolean {
  if (step.type === 'split') return false;
  const replica = replicaById(shard.meta, step.replicaId);
  if (step.type === 'add-learner') return replica !== undefined;
  if (step.type === 'promote') return replica?.role === 'voter';
  if (step.type === 'remove') return replica === undefined;
  return shard.leader?.replicaId === step.replicaId;
}

/** Adding and promoting wait for a whole snapshot, and removing waits for the heir's. */
function timeoutMs(step: Step): number {
  return step.type === 'transfer-leader' ? LIMITS.fastStepMs : LIMITS.slowStepMs;
}

function cancel(reason: string): Verdict {
  return { type: 'cancel', reason };
}

function wait(reason: string): Verdict {
  return { type: 'wait', reason };
}
