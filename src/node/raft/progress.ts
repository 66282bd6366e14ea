// What the leader knows of one follower's log, and how much it may send there. A follower is probed
// with one append at a time until it accepts one; then appends are streamed ahead of the answers,
// within bounds; a follower that needs entries which the log has forgotten waits for a snapshot.

import type { LogIndex } from '../../kernel/ids.ts';
import { sizeOf } from './log.ts';
import type { Entry } from './messages.ts';

export type ProgressState = 'probe' | 'replicate' | 'snapshot';

export interface InflightLimits {
  readonly inflightMessagesMax: number;
  readonly inflightBytesMax: number;
}

export interface ProgressStatus {
  readonly match: LogIndex;
  readonly next: LogIndex;
  readonly state: ProgressState;
  readonly isRecentlyActive: boolean;
  /** True when nothing more is sent until an answer comes. */
  readonly isPaused: boolean;
  readonly inflightMessages: number;
  /** The commit index when the snapshot was asked for; 0 outside of state snapshot. */
  readonly pendingSnapshot: LogIndex;
}

/** Invariant: match < next. */
export class Progress {
  /** The highest index known to be equal to the leader's and durable at the follower. */
  #match: LogIndex = 0;
  #next: LogIndex;
  #state: ProgressState = 'probe';
  /** The commit index that the messages sent so far have carried to the follower. */
  #sentCommit: LogIndex = 0;
  #isProbeSent = false;
  /** An answer came although entries are missing: one append has to find out what is lost. */
  #isNudged = false;
  #pendingSnapshot: LogIndex = 0;
  readonly #inflight: { last: LogIndex; bytes: number }[] = [];
  #inflightBytes = 0;
  readonly #limits: InflightLimits;
  isRecentlyActive = false;

  constructor(next: LogIndex, limits: InflightLimits) {
    this.#next = next;
    this.#limits = limits;
  }

  get match(): LogIndex {
    return this.#match;
  }

  get next(): LogIndex {
    return this.#next;
  }

  get state(): ProgressState {
    return this.#state;
  }

  /** True when no further entries may be sent. */
  get isPaused(): boolean {
    if (this.#state === 'probe') return this.#isProbeSent;
    return this.#state === 'snapshot' || this.#isFull();
  }

  /** True when an append should be sent, be it without entries. */
  wantsAppend(last: LogIndex, commit: LogIndex): boolean {
    if (this.#state === 'probe') return !this.#isProbeSent;
    if (this.#state === 'snapshot') return false;
    if (this.#isNudged || (!this.#isFull() && this.#next <= last)) return true;
    return Math.min(commit, this.#next - 1) > this.#sentCommit;
  }

  /** An append with these entries behind `next - 1` and this commit index is on its way. */
  sent(entries: readonly Entry[], commit: LogIndex): void {
    const last = entries.at(-1);
    this.#isNudged = false;
    if (this.#state === 'probe') {
      // Whether it fits is not known yet: `next` stays, and nothing else goes out.
      this.#isProbeSent = true;
      return;
    }
    if (last !== undefined) {
      const bytes = sizeOf(entries);
      this.#next = last.index + 1;
      this.#inflight.push({ last: last.index, bytes });
      this.#inflightBytes += bytes;
    }
    this.#sentCommit = Math.max(this.#sentCommit, Math.min(commit, this.#next - 1));
  }

  /** The follower accepted up to `index`; `first` is the first index of the leader's window. */
  accepted(index: LogIndex, first: LogIndex): void {
    // A leader has at least one entry to offer: 0 is how a replica only tells its term.
    if (index === 0) return;
    const isNews = index > this.#match;
    if (isNews) {
      this.#match = index;
      this.#next = Math.max(this.#next, index + 1);
      this.#isProbeSent = false;
    }
    this.#freeTo(index);
    if (this.#state === 'probe' && index === this.#match) this.#becomeReplicate();
    else if (this.#state === 'snapshot' && isNews && this.#match + 1 >= first) {
      this.#becomeReplicate();
    }
  }

  /** The follower refused an append behind `refused`; the logs may still agree at `agreeable`. */
  refused(refused: LogIndex, agreeable: LogIndex): void {
    if (this.#state === 'snapshot') return;
    if (this.#state === 'replicate') {
      // Refusals overtaken by a later acceptance are old.
      if (refused > this.#match) this.becomeProbe(this.#match + 1);
      return;
    }
    if (refused !== this.#next - 1) return;
    this.becomeProbe(Math.max(Math.min(refused, agreeable + 1), this.#match + 1));
  }

  /** A sign of life: a lost probe is repeated, and lost appends are found out about. */
  heard(last: LogIndex): void {
    this.isRecentlyActive = true;
    if (this.#state === 'probe') this.#isProbeSent = false;
    else if (this.#state === 'replicate' && this.#match < last) this.#isNudged = true;
  }

  unreachable(): void {
    if (this.#state === 'replicate') this.becomeProbe(this.#match + 1);
  }

  becomeSnapshot(pending: LogIndex): void {
    this.#leave('snapshot');
    this.#pendingSnapshot = pending;
  }

  /** The snapshot was delivered up to `index`, or failed: go on, or ask again, after the next sign of life. */
  snapshotEnded(index: LogIndex | undefined): void {
    if (this.#state !== 'snapshot') return;
    this.becomeProbe(Math.max(this.#match, index ?? 0) + 1);
    this.#isProbeSent = true;
  }

  becomeProbe(next: LogIndex): void {
    this.#leave('probe');
    this.#next = next;
    this.#sentCommit = Math.min(this.#sentCommit, next - 1);
  }

  status(): ProgressStatus {
    return {
      match: this.#match,
      next: this.#next,
      state: this.#state,
      isRecentlyActive: this.isRecentlyActive,
      isPaused: this.isPaused,
      inflightMessages: this.#inflight.length,
      pendingSnapshot: this.#pendingSnapshot,
    };
  }

  #becomeReplicate(): void {
    this.#leave('replicate');
    this.#next = this.#match + 1;
  }

  #leave(state: ProgressState): void {
    this.#state = state;
    this.#isProbeSent = false;
    this.#isNudged = false;
    this.#pendingSnapshot = 0;
    this.#inflight.length = 0;
    this.#inflightBytes = 0;
  }

  #isFull(): boolean {
    return (
      this.#inflight.length >= this.#limits.inflightMessagesMax ||
      this.#inflightBytes >= this.#limits.inflightBytesMax
    );
  }

  #freeTo(index: LogIndex): void {
    for (let first = this.#inflight[0]; first !== undefined; first = this.#inflight[0]) {
      if (first.last > index) return;
      this.#inflightBytes -= first.bytes;
      this.#inflight.shift();
    }
  }
}
