// The arithmetic of majorities. Only voters are ever handed in; learners count in no quorum.

import type { ReplicaId } from '../../kernel/ids.ts';

export type Tally = 'won' | 'lost' | 'pending';

/** How many of `count` voters make a majority. */
export function majority(count: number): number {
  return Math.floor(count / 2) + 1;
}

/** The result of an election as far as the votes that came in decide it. */
export function tally(voters: readonly ReplicaId[], votes: ReadonlyMap<ReplicaId, boolean>): Tally {
  const needed = majority(voters.length);
  const granted = voters.filter((id) => votes.get(id) === true).length;
  if (granted >= needed) return 'won';
  const refused = voters.filter((id) => votes.get(id) === false).length;
  return voters.length - refused >= needed ? 'pending' : 'lost';
}

/** The highest number that a majority of the voters has reached; 0 when there are no voters. */
export function reachedByMajority(
  voters: readonly ReplicaId[],
  numberOf: (id: ReplicaId) => number,
): number {
  const descending = voters.map(numberOf).sort((a, b) => b - a);
  return descending[majority(voters.length) - 1] ?? 0;
}
