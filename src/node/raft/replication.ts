// The leader's work of making all followers' logs equal to its own: what to send to whom, and what
// the answers say. Nothing is sent at once: `flush` looks, once for each Ready, at what each follower
// lacks, so that many proposals leave as one message.

import { must } from '../../kernel/assert.ts';
import type { LogIndex, ReplicaId } from '../../kernel/ids.ts';
import type { Core } from './core.ts';
import type { AppendResponse, Entry } from './messages.ts';
import type { ProgressStatus } from './progress.ts';
import { Progress } from './progress.ts';
import { reachedByMajority } from './quorum.ts';

/** Invariant: there is a Progress for each member of the group except the leader itself. */
export class Replication {
  readonly #core: Core;
  readonly #followers = new Map<ReplicaId, Progress>();

  constructor(core: Core) {
    this.#core = core;
    this.followMembers();
  }

  /** Begins with members that came and forgets those that left. */
  followMembers(): void {
    const peers = this.#core.peers();
    for (const id of this.#followers.keys()) if (!peers.includes(id)) this.#followers.delete(id);
    for (const id of peers) {
      if (this.#followers.has(id)) continue;
      const progress = new Progress(this.#core.log.last.index + 1, this.#core.options.limits);
      // Nobody is held to be dead before there was a chance to answer.
      progress.isRecentlyActive = true;
      this.#followers.set(id, progress);
    }
  }

  follower(id: ReplicaId): Progress | undefined {
    return this.#followers.get(id);
  }

  /** The highest index that a majority of the voters has stored. */
  storedByMajority(): LogIndex {
    return reachedByMajority(this.#core.conf.voters, (id) => this.#stored(id));
  }

  /** Whether a majority was heard of since the last call. */
  checkQuorum(): boolean {
    const { conf, id: self } = this.#core;
    const heard = reachedByMajority(conf.voters, (id) =>
      id === self || this.#followers.get(id)?.isRecentlyActive === true ? 1 : 0,
    );
    for (const progress of this.#followers.values()) progress.isRecentlyActive = false;
    return heard === 1;
  }

  heard(id: ReplicaId): void {
    this.#followers.get(id)?.heard(this.#core.log.last.index);
  }

  answered(message: AppendResponse): void {
    const { log } = this.#core;
    const progress = this.#followers.get(message.from);
    if (progress === undefined || message.index > log.last.index) return;
    progress.isRecentlyActive = true;
    const { hint } = message;
    if (hint === undefined) {
      progress.accepted(message.index, log.truncated.index + 1);
      return;
    }
    if (message.index === 0) {
      // Only one that knows no members refuses even the beginning of the log.
      if (progress.match === 0 && progress.state !== 'snapshot') {
        this.#wantSnapshot(message.from, progress);
      }
      return;
    }
    const agreeable = hint.term === 0 ? hint.index : log.lastAgreeable(hint).index;
    progress.refused(message.index, agreeable);
  }

  hasWork(): boolean {
    for (const progress of this.#followers.values()) if (this.#wants(progress)) return true;
    return false;
  }

  sendHeartbeats(readSequence: number): void {
    for (const id of this.#core.peers()) {
      const commit = Math.min(this.#stored(id), this.#core.log.commit);
      this.#core.send({ ...this.#core.envelope(id), type: 'heartbeat', commit, readSequence });
    }
  }

  flush(): void {
    for (const id of this.#core.peers()) {
      const progress = must(this.#followers.get(id), `No progress is kept for member ${id}`);
      while (this.#wants(progress)) this.#advance(id, progress);
    }
  }

  status(): Map<ReplicaId, ProgressStatus> {
    return new Map(this.#core.peers().map((id) => [id, this.#statusOf(id)]));
  }

  #statusOf(id: ReplicaId): ProgressStatus {
    return must(this.#followers.get(id), `No progress is kept for member ${id}`).status();
  }

  #stored(id: ReplicaId): LogIndex {
    if (id === this.#core.id) return this.#core.log.stable;
    return this.#followers.get(id)?.match ?? 0;
  }

  #wants(progress: Progress): boolean {
    const { log } = this.#core;
    if (!progress.wantsAppend(log.last.index, log.commit)) return false;
    // A snapshot is dear: it is not made for someone who may be dead.
    return !this.#isTooFarBehind(progress) || progress.isRecentlyActive;
  }

  #isTooFarBehind(progress: Progress): boolean {
    return progress.next - 1 < this.#core.log.truncated.index;
  }

  /** One append, or the wish for a snapshot. Either makes the progress want less. */
  #advance(id: ReplicaId, progress: Progress): void {
    const { log, options } = this.#core;
    if (this.#isTooFarBehind(progress)) {
      this.#wantSnapshot(id, progress);
      return;
    }
    const index = progress.next - 1;
    const term = must(log.term(index), `Entry ${index} is not in the window`);
    // While too much is on its way, an append goes without entries: it brings the commit index.
    const entries: Entry[] = progress.isPaused
      ? []
      : log.read(progress.next, options.limits.messageBytesMax);
    const previous = { term, index };
    const envelope = this.#core.envelope(id);
    this.#core.send({ ...envelope, type: 'append', previous, entries, commit: log.commit });
    progress.sent(entries, log.commit);
  }

  #wantSnapshot(id: ReplicaId, progress: Progress): void {
    progress.becomeSnapshot(this.#core.log.commit);
    this.#core.outbox.wantSnapshot(id);
  }
}
