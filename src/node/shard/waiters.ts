// Callers that wait: writers for their entry to be applied, readers for their index to be reached.
// Every waiter is settled exactly once: by its answer, by a refusal, or by its deadline.

import { MatrixError, type RouteHint } from '../../kernel/errors.ts';
import type { EntryId, LogIndex, Term } from '../../kernel/ids.ts';

export interface Waiter<Value> {
  /** Absolute, on the node's clock. */
  readonly deadline: number;
  resolve(value: Value): void;
  reject(error: MatrixError): void;
}

interface WaitingProposal {
  readonly term: Term;
  readonly waiter: Waiter<Uint8Array>;
}

/** Writers by the index of their entry. */
export class Proposals {
  readonly #byIndex = new Map<LogIndex, WaitingProposal>();

  get size(): number {
    return this.#byIndex.size;
  }

  add(id: EntryId, waiter: Waiter<Uint8Array>): void {
    // An older proposal that waited here is gone from this log, but may live on in another one and be
    // committed by a later leader: only what is applied at its place decides.
    this.#byIndex.get(id.index)?.waiter.reject(undecided({}));
    this.#byIndex.set(id.index, { term: id.term, waiter });
  }

  /** The entry at this position was applied: whoever proposed it gets the answer. */
  settle(id: EntryId, result: Uint8Array): void {
    const waiting = this.#byIndex.get(id.index);
    if (waiting === undefined) return;
    this.#byIndex.delete(id.index);
    if (waiting.term === id.term) waiting.waiter.resolve(result);
    else waiting.waiter.reject(overwritten(id.index));
  }

  /** Leadership is gone: the entries may still be committed by the next leader, or may not. */
  abandon(hint: RouteHint): void {
    for (const { waiter } of this.#byIndex.values()) waiter.reject(undecided(hint));
    this.#byIndex.clear();
  }

  expire(now: number): void {
    for (const [index, { waiter }] of this.#byIndex) {
      if (waiter.deadline > now) continue;
      this.#byIndex.delete(index);
      waiter.reject(
        new MatrixError('TIMEOUT', 'Write was not committed before its deadline', {
          outcome: 'unknown',
        }),
      );
    }
  }
}

function undecided(hint: RouteHint): MatrixError {
  const options = { outcome: 'unknown', retry: 'elsewhere', hint } as const;
  return new MatrixError('OUTCOME_UNKNOWN', 'Leadership changed during the write', options);
}

/** Another entry was committed at this place, so this one never will be. */
function overwritten(index: LogIndex): MatrixError {
  return new MatrixError('NOT_LEADER', `Entry ${index} was replaced by a newer leader`);
}

interface WaitingRound {
  readonly sequence: number;
  /** Set once a quorum confirmed the round. */
  index: LogIndex | undefined;
  readonly waiters: Waiter<void>[];
}

/** Readers by the read round that must be confirmed, then by the index that must be applied. */
export class ReadWaits {
  #asked: Waiter<void>[] = [];
  #rounds: WaitingRound[] = [];

  /** Readers that no round has taken in yet. */
  get hasAsked(): boolean {
    return this.#asked.length > 0;
  }

  get size(): number {
    return this.#rounds.reduce((sum, round) => sum + round.waiters.length, this.#asked.length);
  }

  ask(waiter: Waiter<void>): void {
    this.#asked.push(waiter);
  }

  /** All readers that have asked so far share this round. */
  startRound(sequence: number): void {
    this.#rounds.push({ sequence, index: undefined, waiters: this.#asked });
    this.#asked = [];
  }

  confirm(sequence: number, index: LogIndex): void {
    for (const round of this.#rounds) {
      if (round.sequence === sequence) round.index = index;
    }
  }

  /** Lets everybody read whose index is applied and durable here. */
  serve(applied: LogIndex): void {
    if (this.#rounds.length === 0) return;
    const ready = this.#rounds.filter((round) => isServable(round, applied));
    if (ready.length === 0) return;
    this.#rounds = this.#rounds.filter((round) => !isServable(round, applied));
    for (const round of ready) {
      for (const waiter of round.waiters) waiter.resolve();
    }
  }

  /** A read has no outcome to worry about: it may simply be asked again elsewhere. */
  abandon(error: MatrixError): void {
    for (const waiter of this.#asked) waiter.reject(error);
    for (const round of this.#rounds) {
      for (const waiter of round.waiters) waiter.reject(error);
    }
    this.#asked = [];
    this.#rounds = [];
  }

  expire(now: number): void {
    this.#asked = keepLive(this.#asked, now);
    this.#rounds = this.#rounds
      .map((round) => ({ ...round, waiters: keepLive(round.waiters, now) }))
      .filter((round) => round.waiters.length > 0);
  }
}

function isServable(round: WaitingRound, applied: LogIndex): boolean {
  return round.index !== undefined && round.index <= applied;
}

function keepLive(waiters: Waiter<void>[], now: number): Waiter<void>[] {
  const live: Waiter<void>[] = [];
  for (const waiter of waiters) {
    if (waiter.deadline > now) live.push(waiter);
    else
      waiter.reject(
        new MatrixError('TIMEOUT', 'Read was not confirmed before its deadline', {
          outcome: 'not-applied',
        }),
      );
  }
  return live;
}
