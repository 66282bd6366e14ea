// The face of consensus: one replica of one Raft group as a pure, synchronous state machine. Ticks,
// messages and proposals come in; a Ready goes out, and `persisted` says that the disk has it. With
// equal seeds, equal inputs give equal outputs. This file holds the rules about terms and roles.
//
// Implemented: Raft with pre-vote, check quorum and lease-based refusal of votes, read index,
// learners, leader transfer and one-at-a-time membership changes that take effect when applied.

import { assert } from '../../kernel/assert.ts';
import type { EntryId, LogIndex, ReplicaId, Term } from '../../kernel/ids.ts';
import { NO_ID } from '../../kernel/ids.ts';
import { Candidate } from './candidate.ts';
import type { RaftOptions, Transition } from './core.ts';
import { Core } from './core.ts';
import type { RaftState } from './durable-state.ts';
import { checkDurableState } from './durable-state.ts';
import { Follower } from './follower.ts';
import { Leader } from './leader.ts';
import { Log } from './log.ts';
import type { ConfState, HardState, Message, Ready, Role } from './messages.ts';
import type { ProgressStatus } from './progress.ts';
import { answerCandidate } from './voter.ts';

export type ProposeResult =
  /** The entries stand in the log one after another, from this one on. Not committed yet. */
  | { readonly type: 'accepted'; readonly first: EntryId }
  | { readonly type: 'not-leader'; readonly leader: ReplicaId }
  /** Too much is uncommitted, a change of members is pending, or leadership is being handed over. */
  | { readonly type: 'busy' };

export type ReadIndexResult =
  /** Ready.reads or Ready.droppedReads will name this number. Several calls may share it. */
  | { readonly type: 'accepted'; readonly sequence: number }
  | { readonly type: 'not-leader'; readonly leader: ReplicaId }
  /** Nothing of the own term is committed yet, or too many rounds wait. */
  | { readonly type: 'not-ready' };

export interface RaftStatus {
  readonly id: ReplicaId;
  readonly role: Role;
  readonly term: Term;
  readonly vote: ReplicaId;
  readonly leader: ReplicaId;
  readonly conf: ConfState;
  readonly commit: LogIndex;
  readonly applied: LogIndex;
  readonly truncated: EntryId;
  readonly firstIndex: LogIndex;
  readonly lastIndex: LogIndex;
  readonly logBytes: number;
  /** At a leader: all other members. */
  readonly progress?: ReadonlyMap<ReplicaId, ProgressStatus>;
  readonly leaderTransferee: ReplicaId;
  readonly pendingConf: boolean;
  /** True at a leader that has committed in its own term. */
  readonly isReadReady: boolean;
}

/** What a Ready in flight will have made durable. */
interface Flight {
  readonly hardState: HardState;
  readonly last: EntryId;
}

export class Raft {
  readonly #core: Core;
  #role: Follower | Candidate | Leader;
  #reported: HardState;
  #flight: Flight | undefined;

  /** Throws RaftStateError when the durable state contradicts itself. */
  constructor(options: RaftOptions, state: RaftState) {
    assert(options.id !== NO_ID, 'A replica needs an id');
    checkDurableState(state);
    const { hardState, conf, truncated, entries, applied } = state;
    const log = new Log({ truncated, entries, commit: hardState.commit, applied });
    this.#core = new Core(options, { hardState, conf, log });
    this.#role = new Follower(this.#core, NO_ID);
    this.#reported = hardState;
  }

  /** Takes in a message. What does not fit is answered or ignored; nothing a peer sends can throw. */
  step(message: Message): void {
    if (message.to !== this.#core.id || message.from === this.#core.id) return;
    if (message.term < this.#core.term) this.#answerOlderTerm(message);
    else if (this.#passesLease(message)) this.#stepInTerm(message);
  }

  tick(): void {
    this.#follow(this.#role.tick());
  }

  /** Starts an election at once, without pre-vote. Not at a leader, nor at one who may not campaign. */
  campaign(): void {
    if (this.#role.role === 'leader' || !this.#core.canCampaign()) return;
    this.#follow({ to: 'candidate', isTransfer: false });
  }

  /** Appends entries with these contents, which must not be changed afterwards. */
  propose(data: readonly Uint8Array[]): ProposeResult {
    return this.#propose('normal', data);
  }

  /**
   * Appends a change of members: refused as busy while an earlier one is not applied.
   *
   * The owner hands leadership away before it removes a leader, and does not go from two voters to
   * one unless it can repair the group by hand: the one that stays needs the vote of the one that
   * goes until it knows that the change is committed, and a crash can make it forget just that.
   */
  proposeConf(data: Uint8Array): ProposeResult {
    return this.#propose('conf', [data]);
  }

  /**
   * The members from now on. Called for each committed entry of kind conf before `applied` is told
   * of it, with the same members as before when the change was refused. One member at a time may
   * differ, or two majorities could decide against each other.
   */
  applyConf(conf: ConfState): void {
    this.#core.changeMembers(conf);
    if (this.#role.role !== 'follower') this.#follow(this.#role.confChanged());
  }

  readIndex(): ReadIndexResult {
    if (this.#role.role !== 'leader') return { type: 'not-leader', leader: this.#role.leader };
    const sequence = this.#role.readIndex();
    return sequence === undefined ? { type: 'not-ready' } : { type: 'accepted', sequence };
  }

  /** Hands leadership to another voter; given up after one election time-out. */
  transferLeader(to: ReplicaId): boolean {
    return this.#role.role === 'leader' && this.#role.transferTo(to);
  }

  /** The leader's process is known to be gone: elect soon, still with pre-vote. */
  leaderLost(): void {
    if (this.#role.role === 'follower') this.#role.leaderLost();
  }

  reportUnreachable(id: ReplicaId): void {
    if (this.#role.role === 'leader') this.#role.replication.follower(id)?.unreachable();
  }

  /** How the snapshot that a Ready wanted for `id` ended; `index` is what it stood for. */
  reportSnapshot(
    id: ReplicaId,
    result: { readonly ok: true; readonly index: LogIndex } | { readonly ok: false },
  ): void {
    if (this.#role.role !== 'leader') return;
    const progress = this.#role.replication.follower(id);
    progress?.snapshotEnded(result.ok ? result.index : undefined);
  }

  hasReady(): boolean {
    if (this.#flight !== undefined) return false;
    const { log, outbox } = this.#core;
    if (log.hasUnoffered() || log.hasCommitted() || !outbox.isEmpty) return true;
    if (!isSame(this.#reported, this.#core.hardState)) return true;
    return this.#role.role === 'leader' && this.#role.hasWork();
  }

  /** Takes all that there is to do. The next one comes only after `persisted`. */
  ready(): Ready {
    assert(this.#flight === undefined, 'The previous Ready is not persisted yet');
    if (this.#role.role === 'leader') this.#role.flush();
    const { log, outbox, hardState, options } = this.#core;
    const parcel = outbox.take();
    const entries = log.offer();
    // A snapshot is installed on its own; what follows it is applied with the next Ready.
    const isInstalling = parcel.snapshot !== undefined;
    const committed = isInstalling ? [] : log.takeCommitted(options.limits.applyBytesMax);
    const isChanged = !isSame(this.#reported, hardState);
    this.#reported = hardState;
    this.#core.isInstalling = isInstalling;
    this.#flight = { hardState, last: log.last };
    return { ...parcel, ...(isChanged ? { hardState } : {}), entries, committed };
  }

  /** The last Ready is durable. */
  persisted(): void {
    assert(this.#flight !== undefined, 'No Ready is being persisted');
    const { hardState, last } = this.#flight;
    this.#flight = undefined;
    this.#core.isInstalling = false;
    this.#core.saved(hardState);
    this.#core.log.stableTo(last);
    if (this.#role.role === 'leader') this.#role.persisted();
    else if (this.#role.role !== 'follower') this.#follow(this.#role.persisted());
  }

  /** The owner has applied everything up to `index`. */
  applied(index: LogIndex): void {
    this.#core.log.appliedTo(index);
  }

  /** Forgets the entries up to `to`, which must be applied. */
  compact(to: LogIndex): void {
    this.#core.log.compact(to);
  }

  /** True from the moment when a snapshot is accepted until it is handed out with a Ready. */
  get hasSnapshot(): boolean {
    return this.#core.outbox.hasSnapshot;
  }

  /** The term of an entry, as long as the window remembers it. */
  termAt(index: LogIndex): Term | undefined {
    return this.#core.log.term(index);
  }

  get role(): Role {
    return this.#role.role;
  }

  get term(): Term {
    return this.#core.term;
  }

  /** The leader of the present term, NO_ID while none is known. */
  get leader(): ReplicaId {
    return this.#role.leader;
  }

  /** True when the window has grown past either bound: asked every turn, so cheap. */
  isLogOver(bounds: { readonly logEntriesMax: number; readonly logBytesMax: number }): boolean {
    const { log } = this.#core;
    const length = log.last.index - log.truncated.index;
    return length > bounds.logEntriesMax || log.bytes > bounds.logBytesMax;
  }

  status(): RaftStatus {
    const { id, term, vote, conf, log } = this.#core;
    const role = this.#role;
    const isLeader = role.role === 'leader';
    return {
      id,
      role: role.role,
      term,
      vote,
      leader: role.leader,
      conf,
      commit: log.commit,
      applied: log.applied,
      truncated: log.truncated,
      firstIndex: log.truncated.index + 1,
      lastIndex: log.last.index,
      logBytes: log.bytes,
      ...(isLeader ? { progress: role.replication.status() } : {}),
      leaderTransferee: isLeader ? role.transferee : NO_ID,
      pendingConf: isLeader && role.hasPendingConf,
      isReadReady: isLeader && role.isReadReady,
    };
  }

  /**
   * A sender that is behind learns the present term. Without an answer, a replica with a higher term
   * and a leader that ignores it could keep each other from ever making progress (etcd#8243).
   */
  #answerOlderTerm(message: Message): void {
    const envelope = this.#core.envelope(message.from);
    if (message.type === 'append' || message.type === 'heartbeat' || message.type === 'snapshot') {
      this.#core.send({ ...envelope, type: 'append-response', index: 0 });
    } else if (message.type === 'pre-vote') {
      this.#core.send({ ...envelope, type: 'pre-vote-response', granted: false });
    }
  }

  /** False for a candidate that is not to be heard because the leader is alive (thesis 4.2.3). */
  #passesLease(message: Message): boolean {
    if (message.term === this.#core.term) return true;
    if (message.type === 'vote') return message.isTransfer || !this.#isLeased();
    return message.type !== 'pre-vote' || !this.#isLeased();
  }

  #isLeased(): boolean {
    if (this.#role.role === 'leader') return true;
    return this.#role.leader !== NO_ID && this.#core.timer.isLeased;
  }

  /** The message is of the present term or a newer one. */
  #stepInTerm(message: Message): void {
    const isSpeculative =
      message.type === 'pre-vote' || (message.type === 'pre-vote-response' && message.granted);
    if (message.term > this.#core.term && !isSpeculative) {
      this.#leaveRole();
      this.#core.enterTerm(message.term);
      this.#become({ to: 'follower', leader: NO_ID });
    }
    if (message.type === 'pre-vote' || message.type === 'vote') {
      answerCandidate(this.#core, this.#role.leader, message);
      return;
    }
    const isFromLeader =
      message.type === 'append' || message.type === 'heartbeat' || message.type === 'snapshot';
    // Somebody else won the election of this term.
    if (isFromLeader && this.#role instanceof Candidate) {
      this.#become({ to: 'follower', leader: message.from });
    }
    this.#follow(this.#role.step(message));
  }

  #propose(kind: 'normal' | 'conf', data: readonly Uint8Array[]): ProposeResult {
    assert(data.length > 0, 'A proposal has at least one entry');
    if (this.#role.role !== 'leader') return { type: 'not-leader', leader: this.#role.leader };
    const first = this.#role.propose(kind, data);
    return first === undefined ? { type: 'busy' } : { type: 'accepted', first };
  }

  #follow(transition: Transition | undefined): void {
    for (let next = transition; next !== undefined; ) {
      this.#leaveRole();
      next = this.#become(next);
    }
  }

  #leaveRole(): void {
    if (this.#role.role === 'leader') this.#role.resign();
  }

  #become(transition: Transition): Transition | undefined {
    const core = this.#core;
    core.timer.redraw();
    switch (transition.to) {
      case 'follower':
        this.#role = new Follower(core, transition.leader);
        return undefined;
      case 'pre-candidate':
        this.#role = new Candidate(core, 'pre-candidate');
        return this.#role.start(false);
      case 'candidate':
        core.enterTerm(core.term + 1);
        core.voteFor(core.id);
        this.#role = new Candidate(core, 'candidate');
        return this.#role.start(transition.isTransfer);
      case 'leader':
        this.#role = new Leader(core);
        return undefined;
    }
  }
}

function isSame(a: HardState, b: HardState): boolean {
  return a.term === b.term && a.vote === b.vote && a.commit === b.commit;
}
