// What all roles of one replica share: who it is, its term and vote, the members, the log, the
// election timer and the outbox. Roles change it and return a Transition when the role itself ends.

import { assert } from '../../kernel/assert.ts';
import type { LogIndex, ReplicaId, Term } from '../../kernel/ids.ts';
import { NO_ID } from '../../kernel/ids.ts';
import type { Random } from '../../kernel/random.ts';
import { ElectionTimer } from './election-timer.ts';
import type { Log } from './log.ts';
import type { ConfState, Entry, HardState, Message } from './messages.ts';
import { Outbox } from './outbox.ts';

export interface RaftLimits {
  /** Entries of one append message; one entry is always sent, however large. */
  readonly messageBytesMax: number;
  /** Appends with entries that may be on their way to one follower. */
  readonly inflightMessagesMax: number;
  readonly inflightBytesMax: number;
  /** Proposals of a leader that are not committed yet; more are refused as busy. */
  readonly uncommittedBytesMax: number;
  /** Committed entries of one Ready; one entry is always handed out. */
  readonly applyBytesMax: number;
}

export interface RaftOptions {
  readonly id: ReplicaId;
  readonly random: Random;
  /** Election time-outs are drawn from [electionTicks, 2 * electionTicks). */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly limits: RaftLimits;
}

/** The role that a step leads to. Terms change before, in `Core`. */
export type Transition =
  | { readonly to: 'follower'; readonly leader: ReplicaId }
  | { readonly to: 'pre-candidate' }
  | { readonly to: 'candidate'; readonly isTransfer: boolean }
  | { readonly to: 'leader' };

/** Invariants: the term never falls; within a term the vote is given once. */
export class Core {
  readonly id: ReplicaId;
  readonly options: RaftOptions;
  readonly log: Log;
  readonly timer: ElectionTimer;
  readonly outbox = new Outbox();
  /** The newest number of a read round, so that it goes on over leaderships. */
  readSequence = 0;
  /** True while an accepted snapshot is on its way to the disk. */
  isInstalling = false;
  #conf: ConfState;
  #term: Term;
  #vote: ReplicaId;
  /** What the disk holds of term and vote. */
  #durable: HardState;

  constructor(options: RaftOptions, state: { hardState: HardState; conf: ConfState; log: Log }) {
    this.id = options.id;
    this.options = options;
    this.log = state.log;
    this.timer = new ElectionTimer(options);
    this.#conf = state.conf;
    this.#term = state.hardState.term;
    this.#vote = state.hardState.vote;
    this.#durable = state.hardState;
  }

  get term(): Term {
    return this.#term;
  }

  get vote(): ReplicaId {
    return this.#vote;
  }

  get conf(): ConfState {
    return this.#conf;
  }

  get hardState(): HardState {
    return { term: this.#term, vote: this.#vote, commit: this.log.commit };
  }

  /**
   * False for a replica that knows no members. The first members of a group stand in no entry, so
   * that it can begin only from a snapshot, even where the log reaches back to its first entry.
   */
  get isInitialised(): boolean {
    return this.#conf.voters.length > 0;
  }

  isVoter(id: ReplicaId): boolean {
    return this.#conf.voters.includes(id);
  }

  /** The vote for oneself counts once no crash can make it forgotten. */
  hasDurableVoteForSelf(): boolean {
    return this.#durable.term === this.#term && this.#durable.vote === this.id;
  }

  /** Whether this replica may ask for votes at all. */
  canCampaign(): boolean {
    if (!this.isVoter(this.id)) return false;
    // Someone who is about to change the members must not lead by the old ones (etcd#7625).
    if (this.log.hasUnappliedConf()) return false;
    return !this.isInstalling && !this.outbox.hasSnapshot;
  }

  /** A newer term was seen, in which no vote is given yet. */
  enterTerm(term: Term): void {
    assert(term > this.#term, `Term ${term} is not newer than ${this.#term}`);
    this.#term = term;
    this.#vote = NO_ID;
  }

  voteFor(id: ReplicaId): void {
    assert(
      this.#vote === NO_ID || this.#vote === id,
      `Cannot vote for ${id} in term ${this.#term} as the vote went to ${this.#vote}`,
    );
    this.#vote = id;
  }

  changeMembers(conf: ConfState): void {
    this.#conf = conf;
  }

  saved(hardState: HardState): void {
    this.#durable = hardState;
  }

  send(message: Message): void {
    this.outbox.send(message);
  }

  /** The outside of a message of the present term. */
  envelope(to: ReplicaId): { from: ReplicaId; to: ReplicaId; term: Term } {
    return { from: this.id, to, term: this.#term };
  }

  /** All members but oneself, ascending, so that a run repeats exactly. */
  peers(): ReplicaId[] {
    const { voters, learners } = this.#conf;
    return [...voters, ...learners].filter((id) => id !== this.id).sort((a, b) => a - b);
  }

  /** Entries of the present term at the end of the log, ready to be appended. */
  entriesAtEnd(kind: Entry['kind'], data: readonly Uint8Array[]): Entry[] {
    const first: LogIndex = this.log.last.index + 1;
    return data.map((bytes, offset) => ({
      term: this.#term,
      index: first + offset,
      kind,
      data: bytes,
    }));
  }
}
