// Carries out what Prophet wants of a shard, if this replica leads it and the shard is still as
// Prophet saw it (d.5, d.7). A step that would endanger the quorum is refused, whoever asks for it.

import { MatrixError } from '../../kernel/errors.ts';
import type { ReplicaId } from '../../kernel/ids.ts';
import type { ConfChange } from '../shard/conf-change.ts';
import type { Replica } from '../shard/replica.ts';
import { replicaById, replicaOn, sameEpoch } from '../shard/shard-meta.ts';
import type { StoreStep } from './local-store.ts';
import type { ReplicaHost } from './replica-host.ts';
import type { Splitter } from './splitter.ts';

export interface StepTakerOptions {
  readonly host: ReplicaHost;
  readonly splitter: Splitter;
  readonly wake: (replica: Replica) => void;
}

export type StepResult =
  | { readonly type: 'taken' }
  | { readonly type: 'refused'; readonly error: MatrixError };

/** A learner this close to the leader's commit may become a voter (d.7). */
const PROMOTE_LAG_MAX = 64;
const TAKEN: StepResult = { type: 'taken' };

export class StepTaker {
  readonly #options: StepTakerOptions;

  constructor(options: StepTakerOptions) {
    this.#options = options;
  }

  take(step: StoreStep): StepResult {
    const replica = this.#options.host.userShard(step.shardId);
    if (replica === undefined) {
      return refused('SHARD_NOT_FOUND', `Shard ${step.shardId} is not on this store`);
    }
    if (!replica.isLeader) return { type: 'refused', error: replica.notLeader() };
    const epoch = step.type === 'conf-change' ? step.change.epoch : step.epoch;
    if (!sameEpoch(epoch, replica.meta.epoch)) {
      return refused(
        'EPOCH_NOT_MATCH',
        `Shard ${step.shardId} has moved on since the step was made`,
      );
    }
    const result = this.#carryOut(replica, step);
    this.#options.wake(replica);
    return result;
  }

  #carryOut(replica: Replica, step: StoreStep): StepResult {
    switch (step.type) {
      case 'transfer-leader':
        return replica.transferLeader(step.to)
          ? TAKEN
          : refused('UNAVAILABLE', `Replica ${step.to} cannot take over shard ${step.shardId}`);
      case 'split':
        this.#options.splitter.splitAt(replica, step.keys);
        return TAKEN;
      case 'conf-change':
        return changeMembers(replica, step.change);
    }
  }
}

function changeMembers(replica: Replica, change: ConfChange): StepResult {
  const objection = objectionTo(replica, change);
  if (objection !== undefined) return refused('PRECONDITION_FAILED', objection);
  const result = replica.proposeConf(change);
  if (result.type === 'accepted') return TAKEN;
  if (result.type === 'not-leader') return { type: 'refused', error: replica.notLeader() };
  return refused('OVERLOADED', `Another change of shard ${replica.shardId} is not finished`);
}

/** Why the change must not be made now, in words. */
function objectionTo(replica: Replica, change: ConfChange): string | undefined {
  const status = replica.status();
  if (!status.isReadReady) return 'the leader has not committed anything in its term yet';
  if (change.type === 'add-learner') {
    const other = replicaOn(replica.meta, change.storeId);
    return other === undefined
      ? undefined
      : `store ${change.storeId} holds replica ${other.replicaId}`;
  }
  const member = replicaById(replica.meta, change.replicaId);
  if (member === undefined) return `replica ${change.replicaId} is no member`;
  if (change.type === 'promote') {
    const progress = status.progress?.get(change.replicaId);
    const isCaughtUp =
      progress?.state === 'replicate' && progress.match + PROMOTE_LAG_MAX >= status.commit;
    return isCaughtUp ? undefined : `replica ${change.replicaId} has not caught up yet`;
  }
  if (change.replicaId === replica.replicaId) return 'a leader hands over before it is removed';
  return member.role === 'voter' ? quorumObjection(replica, change.replicaId) : undefined;
}

/** After the removal a majority of the voters must be answering. */
function quorumObjection(replica: Replica, removed: ReplicaId): string | undefined {
  const { progress } = replica.status();
  const voters = replica.meta.replicas.filter(
    ({ role, replicaId }) => role === 'voter' && replicaId !== removed,
  );
  const active = voters.filter(
    ({ replicaId }) =>
      replicaId === replica.replicaId || progress?.get(replicaId)?.isRecentlyActive === true,
  );
  if (active.length * 2 > voters.length) return undefined;
  return `only ${active.length} of the ${voters.length} voters left would be answering`;
}

function refused(
  code:
    | 'SHARD_NOT_FOUND'
    | 'EPOCH_NOT_MATCH'
    | 'UNAVAILABLE'
    | 'PRECONDITION_FAILED'
    | 'OVERLOADED',
  text: string,
): StepResult {
  return { type: 'refused', error: new MatrixError(code, text) };
}
