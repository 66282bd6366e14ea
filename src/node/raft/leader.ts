// A leader: takes proposals, decides what is committed, confirms reads, and gives up as soon as it
// cannot be sure to be followed (check quorum, thesis 6.2).

import { must } from '../../kernel/assert.ts';
import { EMPTY } from '../../kernel/bytes.ts';
import type { EntryId, LogIndex, ReplicaId } from '../../kernel/ids.ts';
import { NO_ID } from '../../kernel/ids.ts';
import type { Core, Transition } from './core.ts';
import { sizeOf } from './log.ts';
import type { Entry, Message } from './messages.ts';
import { Reads } from './reads.ts';
import { Replication } from './replication.ts';

const STEP_DOWN: Transition = { to: 'follower', leader: NO_ID };

/**
 * Invariants:
 * - Only entries of the leader's own term are committed by counting (Raft 5.4.2).
 * - At most one change of members is in the log and not applied.
 */
export class Leader {
  readonly role = 'leader';
  readonly leader: ReplicaId;
  readonly replication: Replication;
  readonly #core: Core;
  readonly #reads: Reads;
  /** A change of members may be waiting up to this index. */
  #pendingConf: LogIndex;
  #uncommittedBytes: number;
  #isHeartbeatDue = false;
  #heartbeatTicks = 0;
  #checkTicks = 0;
  #transferee: ReplicaId = NO_ID;
  #transferTicks = 0;

  constructor(core: Core) {
    this.#core = core;
    this.leader = core.id;
    this.replication = new Replication(core);
    this.#reads = new Reads(core.readSequence);
    const { log } = core;
    // There may be a change somewhere in the inherited log: rather wait than look.
    this.#pendingConf = log.last.index;
    this.#uncommittedBytes = log.bytesBetween(log.commit, log.last.index);
    // Only an entry of the own term lets the older ones be committed (Raft 8).
    this.#append(core.entriesAtEnd('empty', [EMPTY]));
  }

  get transferee(): ReplicaId {
    return this.#transferee;
  }

  get hasPendingConf(): boolean {
    return this.#pendingConf > this.#core.log.applied;
  }

  get isReadReady(): boolean {
    return this.#core.log.term(this.#core.log.commit) === this.#core.term;
  }

  /** The id of the first of the new entries; undefined when they have to wait. */
  propose(kind: 'normal' | 'conf', data: readonly Uint8Array[]): EntryId | undefined {
    if (this.#transferee !== NO_ID) return undefined;
    if (kind === 'conf' && this.hasPendingConf) return undefined;
    const entries = this.#core.entriesAtEnd(kind, data);
    const bytes = this.#uncommittedBytes + sizeOf(entries);
    const isFull = bytes > this.#core.options.limits.uncommittedBytesMax;
    // What is too large on its own goes through when nothing else waits: a limit is no dead end.
    if (isFull && this.#uncommittedBytes > 0) return undefined;
    this.#append(entries);
    const first = must(entries[0], 'A proposal has at least one entry');
    if (kind === 'conf') this.#pendingConf = first.index;
    return { term: first.term, index: first.index };
  }

  /** The number of the read round; undefined when no read can be served now. */
  readIndex(): number | undefined {
    return this.isReadReady ? this.#reads.join() : undefined;
  }

  transferTo(to: ReplicaId): boolean {
    if (to === this.#core.id || !this.#core.isVoter(to)) return false;
    if (to === this.#transferee) return true;
    this.#transferee = to;
    this.#transferTicks = 0;
    this.#handOver();
    return true;
  }

  step(message: Message): Transition | undefined {
    switch (message.type) {
      case 'append-response':
        this.replication.answered(message);
        this.#advanceCommit();
        if (message.from === this.#transferee) this.#handOver();
        return undefined;
      case 'heartbeat-response':
        if (this.replication.follower(message.from) === undefined) return undefined;
        this.replication.heard(message.from);
        this.#reads.answered(message.from, message.readSequence);
        this.#confirmReads();
        return undefined;
      default:
        return undefined;
    }
  }

  tick(): Transition | undefined {
    const { electionTicks, heartbeatTicks } = this.#core.options;
    this.#heartbeatTicks += 1;
    if (this.#heartbeatTicks >= heartbeatTicks) {
      this.#heartbeatTicks = 0;
      this.#isHeartbeatDue = true;
    }
    this.#transferTicks += 1;
    if (this.#transferTicks >= electionTicks) this.#transferee = NO_ID;
    this.#checkTicks += 1;
    if (this.#checkTicks < electionTicks) return undefined;
    this.#checkTicks = 0;
    return this.replication.checkQuorum() ? undefined : STEP_DOWN;
  }

  hasWork(): boolean {
    return this.#isHeartbeatDue || this.#reads.isOpen || this.replication.hasWork();
  }

  /** Writes all messages that are due into the outbox. */
  flush(): void {
    if (this.#isHeartbeatDue || this.#reads.isOpen) {
      this.#isHeartbeatDue = false;
      this.#reads.begin(this.#core.log.commit);
      this.replication.sendHeartbeats(this.#reads.newest);
      // A lone voter needs nobody's word.
      this.#confirmReads();
    }
    this.replication.flush();
  }

  persisted(): void {
    this.#advanceCommit();
  }

  confChanged(): Transition | undefined {
    // The change is committed by now: a leader that it removes has nothing more to do (thesis 4.2.2).
    if (!this.#core.isVoter(this.#core.id)) return STEP_DOWN;
    this.replication.followMembers();
    this.#reads.keepOnly(new Set(this.#core.peers()));
    if (!this.#core.isVoter(this.#transferee)) this.#transferee = NO_ID;
    this.#advanceCommit();
    this.#confirmReads();
    return undefined;
  }

  /** The leadership is over. */
  resign(): void {
    this.#core.outbox.dropReads(this.#reads.drop());
    this.#core.readSequence = this.#reads.sequence;
  }

  #append(entries: readonly Entry[]): void {
    this.#core.log.append(entries);
    this.#uncommittedBytes += sizeOf(entries);
  }

  #advanceCommit(): void {
    const { log, term } = this.#core;
    const stored = this.replication.storedByMajority();
    const before = log.commit;
    if (stored <= before || log.term(stored) !== term) return;
    log.commitTo(stored);
    this.#uncommittedBytes -= log.bytesBetween(before, stored);
  }

  #confirmReads(): void {
    const { conf, id, outbox } = this.#core;
    outbox.confirmReads(this.#reads.takeConfirmed(conf.voters, id));
  }

  /** The successor campaigns as soon as it has everything. */
  #handOver(): void {
    const match = this.replication.follower(this.#transferee)?.match;
    if (match !== this.#core.log.last.index) return;
    this.#core.send({ ...this.#core.envelope(this.#transferee), type: 'timeout-now' });
  }
}
