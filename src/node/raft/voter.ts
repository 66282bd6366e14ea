// How a replica of any role answers candidates (Raft 5.2, 5.4.1 and thesis 9.6). Learners answer too:
// a candidate may know them as voters already, and then the election can depend on them.

import type { ReplicaId } from '../../kernel/ids.ts';
import { isUpToDate, NO_ID } from '../../kernel/ids.ts';
import type { Core } from './core.ts';
import type { PreVoteRequest, VoteRequest } from './messages.ts';

/** The sender's term is not older than ours, and for a vote it has been entered. */
export function answerCandidate(
  core: Core,
  leader: ReplicaId,
  request: PreVoteRequest | VoteRequest,
): void {
  const isLogGoodEnough = isUpToDate(request.last, core.log.last);
  const granted = isLogGoodEnough && isVoteFree(core, leader, request);
  if (request.type === 'pre-vote') {
    // A grant speaks of the term that would be campaigned in, a refusal tells our own.
    const term = granted ? request.term : core.term;
    core.send({ ...core.envelope(request.from), term, type: 'pre-vote-response', granted });
    return;
  }
  if (granted) {
    core.voteFor(request.from);
    core.timer.restart();
  }
  core.send({ ...core.envelope(request.from), type: 'vote-response', granted });
}

function isVoteFree(core: Core, leader: ReplicaId, request: PreVoteRequest | VoteRequest): boolean {
  if (core.vote === request.from && request.term === core.term) return true;
  if (request.type === 'pre-vote' && request.term > core.term) return true;
  return core.vote === NO_ID && leader === NO_ID;
}
