// A follower: stores what the leader sends and asks for an election when it hears nothing any more.
// A replica that is no member yet is a follower that never asks.

import type { ReplicaId } from '../../kernel/ids.ts';
import { NO_ID } from '../../kernel/ids.ts';
import type { Core, Transition } from './core.ts';
import type {
  AppendRequest,
  HeartbeatRequest,
  Message,
  SnapshotMeta,
  SnapshotRequest,
} from './messages.ts';

export class Follower {
  readonly role = 'follower';
  readonly #core: Core;
  #leader: ReplicaId;

  constructor(core: Core, leader: ReplicaId) {
    this.#core = core;
    this.#leader = leader;
  }

  get leader(): ReplicaId {
    return this.#leader;
  }

  step(message: Message): Transition | undefined {
    switch (message.type) {
      case 'append':
        this.#hear(message.from);
        this.#append(message);
        return undefined;
      case 'heartbeat':
        this.#hear(message.from);
        this.#heartbeat(message);
        return undefined;
      case 'snapshot':
        this.#hear(message.from);
        this.#restore(message);
        return undefined;
      case 'timeout-now':
        return this.#core.canCampaign() ? { to: 'candidate', isTransfer: true } : undefined;
      default:
        // Answers to a role that this replica no longer has.
        return undefined;
    }
  }

  tick(): Transition | undefined {
    if (!this.#core.timer.tick()) return undefined;
    if (this.#core.canCampaign()) return { to: 'pre-candidate' };
    // Whoever must not ask is without a leader all the same: a learner may have been removed.
    this.#leader = NO_ID;
    this.#core.timer.restart();
    return undefined;
  }

  leaderLost(): void {
    this.#leader = NO_ID;
    this.#core.timer.lostLeader();
  }

  #hear(leader: ReplicaId): void {
    this.#leader = leader;
    this.#core.timer.heardLeader();
  }

  #append(message: AppendRequest): void {
    const { log } = this.#core;
    const { previous, entries } = message;
    if (previous.index < log.commit) {
      // Committed entries equal the leader's: tell how far it may go on from.
      this.#answer(message.from, log.commit);
      return;
    }
    if (!this.#core.isInitialised || !log.holds(previous)) {
      const hint = log.lastAgreeable(previous);
      const envelope = this.#core.envelope(message.from);
      this.#core.send({ ...envelope, type: 'append-response', index: previous.index, hint });
      return;
    }
    // A sender that breaks the protocol gets no answer, and nothing of it is stored.
    if (!isWellFormed(message) || !log.accept(entries)) return;
    const last = previous.index + entries.length;
    log.commitTo(Math.min(message.commit, last));
    this.#answer(message.from, last);
  }

  #heartbeat(message: HeartbeatRequest): void {
    const { log } = this.#core;
    // A correct leader names only what this log has confirmed to hold.
    if (message.commit <= log.last.index) log.commitTo(message.commit);
    this.#core.send({
      ...this.#core.envelope(message.from),
      type: 'heartbeat-response',
      readSequence: message.readSequence,
    });
  }

  #restore(message: SnapshotRequest): void {
    const { log } = this.#core;
    const { snapshot } = message;
    if (this.#isUseful(snapshot, message.term)) {
      log.reset(snapshot.last);
      this.#core.changeMembers(snapshot.conf);
      this.#core.outbox.install(snapshot);
    }
    this.#answer(message.from, log.commit);
  }

  #isUseful(snapshot: SnapshotMeta, term: number): boolean {
    const { log, id } = this.#core;
    if (snapshot.last.index <= log.commit || snapshot.last.term > term) return false;
    if (log.holds(snapshot.last)) {
      // The log has it all, it only did not know that it is committed.
      log.commitTo(snapshot.last.index);
      return false;
    }
    // One from before this replica was added would turn a member into a stranger.
    return snapshot.conf.voters.includes(id) || snapshot.conf.learners.includes(id);
  }

  #answer(to: ReplicaId, index: number): void {
    this.#core.send({ ...this.#core.envelope(to), type: 'append-response', index });
  }
}

/** Entries without a gap, in terms that never fall and are not newer than the sender's. */
function isWellFormed(message: AppendRequest): boolean {
  let { term, index } = message.previous;
  for (const entry of message.entries) {
    if (entry.index !== index + 1 || entry.term < term) return false;
    ({ term, index } = entry);
  }
  return term <= message.term;
}
