// Makes a shard whole again: exactly the wanted number of voters, all alive, and no leftovers. Each
// rule of the chain does one small thing; what it leaves behind is the next rule's work, so it does
// not matter who began a repair or how far it came.

import type { ReplicaDescriptor } from '../../shard/shard-meta.ts';
import type { ShardInfo } from '../cluster-view.ts';
import { hasQuorum, isDead, isLive, keepsQuorum, learnersOf, votersOf } from '../quorum.ts';
import { chooseStore, countSiblings } from './placement.ts';
import type { Policy, Surroundings, Verdict } from './policy.ts';

export const REPAIR_CHAIN: readonly Policy[] = [
  leaveHelpless, // Without leader or majority nothing can be changed.
  removeLostLearner, // A learner that died, or sits on a store that is being emptied.
  finishSuccession, // A dead voter, and a learner that can take its place.
  promoteLearner, // A voter is missing, and a learner can become one.
  removeOrphan, // Enough voters: the learner is left over from something cancelled.
  removeExtraVoter, // More voters than wanted, for example after wanting fewer.
  addMissingVoter, // Fewer voters than wanted, and a store has room.
  replaceDeadVoter, // A store is down for good, and another has room.
];

function leaveHelpless(shard: ShardInfo, { cluster }: Surroundings): Verdict {
  const isHelpless = shard.leader === undefined || !hasQuorum(cluster, shard, votersOf(shard));
  return isHelpless ? 'leave' : undefined;
}

function removeLostLearner(shard: ShardInfo, { cluster }: Surroundings): Verdict {
  const lost = learnersOf(shard).find(
    (learner) =>
      isDead(cluster, shard, learner) || cluster.stores.get(learner.storeId)?.state === 'draining',
  );
  return lost && removal(shard, lost, `Learner on store ${lost.storeId} is lost`);
}

function finishSuccession(shard: ShardInfo, { cluster }: Surroundings): Verdict {
  if (votersOf(shard).length > cluster.maxReplicas) return undefined;
  const dead = votersOf(shard).find((voter) => isDead(cluster, shard, voter));
  const heir = learnersOf(shard).find((learner) => isLive(cluster, shard, learner));
  if (dead === undefined || heir === undefined) return undefined;
  return {
    type: 'succeed',
    shardId: shard.meta.id,
    deadId: dead.replicaId,
    heirId: heir.replicaId,
    reason: `Store ${dead.storeId} is down, store ${heir.storeId} has a learner`,
    isBalance: false,
  };
}

function promoteLearner(shard: ShardInfo, { cluster }: Surroundings): Verdict {
  if (votersOf(shard).length >= cluster.maxReplicas) return undefined;
  const learner = learnersOf(shard).find((replica) => isLive(cluster, shard, replica));
  if (learner === undefined) return undefined;
  return {
    type: 'promote',
    shardId: shard.meta.id,
    replicaId: learner.replicaId,
    reason: `Voter is missing and store ${learner.storeId} has a learner`,
    isBalance: false,
  };
}

function removeOrphan(shard: ShardInfo, { cluster }: Surroundings): Verdict {
  const orphan = learnersOf(shard)[0];
  if (orphan === undefined) return undefined;
  // A silent learner may be all that is left of a repair: it is judged when it answers or is dead.
  if (votersOf(shard).length < cluster.maxReplicas) return 'leave';
  return removal(shard, orphan, 'Learner is left over');
}

function removeExtraVoter(shard: ShardInfo, surroundings: Surroundings): Verdict {
  const { cluster } = surroundings;
  if (votersOf(shard).length <= cluster.maxReplicas) return undefined;
  const [worst] = votersOf(shard)
    .filter((voter) => isSafeToLose(shard, surroundings, voter))
    .sort(
      (a, b) => rankForRemoval(shard, surroundings, b) - rankForRemoval(shard, surroundings, a),
    );
  return worst === undefined ? 'leave' : removal(shard, worst, 'More voters than wanted');
}

function addMissingVoter(shard: ShardInfo, surroundings: Surroundings): Verdict {
  const missing = surroundings.cluster.maxReplicas - votersOf(shard).length;
  if (missing <= 0 || surroundings.isBraked) return undefined;
  const store = chooseStore(shard, surroundings);
  if (store === undefined) return undefined;
  return {
    type: 'add',
    shardId: shard.meta.id,
    storeId: store.id,
    reason: `Voters are missing: ${missing}`,
    isBalance: false,
  };
}

function replaceDeadVoter(shard: ShardInfo, surroundings: Surroundings): Verdict {
  const { cluster, isBraked } = surroundings;
  const dead = votersOf(shard).find((voter) => isDead(cluster, shard, voter));
  if (dead === undefined || isBraked) return undefined;
  const store = chooseStore(shard, surroundings, dead.replicaId);
  if (store === undefined) return undefined;
  return {
    type: 'replace',
    shardId: shard.meta.id,
    deadId: dead.replicaId,
    storeId: store.id,
    reason: `Store ${dead.storeId} is down`,
    isBalance: false,
  };
}

/** A leader hands over before it is removed, so only the remaining quorum counts here. */
function isSafeToLose(
  shard: ShardInfo,
  { cluster }: Surroundings,
  voter: ReplicaDescriptor,
): boolean {
  const others = votersOf(shard).filter((other) => other.replicaId !== voter.replicaId);
  if (shard.leader?.replicaId === voter.replicaId) return hasQuorum(cluster, shard, others);
  return keepsQuorum(cluster, shard, { type: 'remove', replicaId: voter.replicaId });
}

/** The highest goes first: the dead, the silent, the draining, the crowded, the busy; leaders last. */
function rankForRemoval(
  shard: ShardInfo,
  { cluster, ledger }: Surroundings,
  voter: ReplicaDescriptor,
): number {
  const marks = [
    isDead(cluster, shard, voter),
    !isLive(cluster, shard, voter),
    cluster.stores.get(voter.storeId)?.state === 'draining',
    countSiblings(cluster, shard, { storeId: voter.storeId, leavingId: undefined }) > 0,
    shard.leader?.replicaId !== voter.replicaId,
  ];
  const rank = marks.reduce((sum, mark) => sum * 2 + (mark ? 1 : 0), 0);
  return rank + ledger.replicas(voter.storeId) / 1e9;
}

function removal(shard: ShardInfo, replica: ReplicaDescriptor, reason: string): Verdict {
  const { replicaId } = replica;
  return { type: 'remove', shardId: shard.meta.id, replicaId, reason, isBalance: false };
}
