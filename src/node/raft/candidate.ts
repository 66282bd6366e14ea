// A replica that asks for votes: first without any effect (pre-vote, thesis 9.6), so that one which
// was cut off does not disturb a working leader; then in earnest, in a new term.

import type { ReplicaId } from '../../kernel/ids.ts';
import { NO_ID } from '../../kernel/ids.ts';
import type { Core, Transition } from './core.ts';
import type { Message, PreVoteResponse, VoteResponse } from './messages.ts';
import { tally } from './quorum.ts';

export class Candidate {
  readonly role: 'pre-candidate' | 'candidate';
  readonly leader: ReplicaId = NO_ID;
  readonly #core: Core;
  readonly #votes = new Map<ReplicaId, boolean>();

  constructor(core: Core, role: 'pre-candidate' | 'candidate') {
    this.#core = core;
    this.role = role;
  }

  /** Asks all other voters. A lone voter has won a pre-vote at once. */
  start(isTransfer: boolean): Transition | undefined {
    const core = this.#core;
    for (const id of core.peers().filter((peer) => core.isVoter(peer))) {
      const envelope = core.envelope(id);
      const { last } = core.log;
      if (this.role === 'candidate') core.send({ ...envelope, type: 'vote', last, isTransfer });
      else core.send({ ...envelope, type: 'pre-vote', term: core.term + 1, last });
    }
    if (this.role === 'pre-candidate') this.#votes.set(core.id, true);
    return this.#count();
  }

  step(message: Message): Transition | undefined {
    if (message.type !== 'vote-response' && message.type !== 'pre-vote-response') return undefined;
    if (!this.#isAnswer(message)) return undefined;
    // The first answer of each voter counts: a repeated message changes nothing.
    if (!this.#votes.has(message.from)) this.#votes.set(message.from, message.granted);
    return this.#count();
  }

  tick(): Transition | undefined {
    if (!this.#core.timer.tick()) return undefined;
    // The members may have changed meanwhile.
    if (this.#core.canCampaign()) return { to: 'pre-candidate' };
    return { to: 'follower', leader: NO_ID };
  }

  /** The disk may now hold the vote for oneself. */
  persisted(): Transition | undefined {
    if (this.role === 'candidate' && this.#core.hasDurableVoteForSelf()) {
      this.#votes.set(this.#core.id, true);
    }
    return this.#count();
  }

  confChanged(): Transition | undefined {
    if (!this.#core.isVoter(this.#core.id)) return { to: 'follower', leader: NO_ID };
    return this.#count();
  }

  /** Answers to an earlier attempt, or to the other sort of question, count for nothing. */
  #isAnswer(message: VoteResponse | PreVoteResponse): boolean {
    if (this.role === 'candidate') return message.type === 'vote-response';
    if (message.type !== 'pre-vote-response') return false;
    return !message.granted || message.term === this.#core.term + 1;
  }

  #count(): Transition | undefined {
    switch (tally(this.#core.conf.voters, this.#votes)) {
      case 'pending':
        return undefined;
      case 'lost':
        return { to: 'follower', leader: NO_ID };
      case 'won':
        return this.role === 'candidate'
          ? { to: 'leader' }
          : { to: 'candidate', isTransfer: false };
    }
  }
}
