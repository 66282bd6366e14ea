// Linearizable reads without touching the log (ReadIndex, Raft thesis 6.4). All reads asked for in
// one turn form a round. A round is confirmed when a majority of the voters answered a heartbeat
// that left after the round began: then no newer leader can have committed anything before it.

import type { LogIndex, ReplicaId } from '../../kernel/ids.ts';
import type { ReadState } from './messages.ts';
import { reachedByMajority } from './quorum.ts';

/** Rounds that may wait at once; without an answer for that long, more only eats memory. */
const ROUNDS_MAX = 1024;

export class Reads {
  /** Grows by one with each round; a core never gives a number twice, whatever the term. */
  #sequence: number;
  #isOpen = false;
  /** Rounds on their way, oldest first. */
  readonly #waiting: ReadState[] = [];
  readonly #answered = new Map<ReplicaId, number>();

  constructor(sequence: number) {
    this.#sequence = sequence;
  }

  /** The newest number given, for the next leadership to go on from. */
  get sequence(): number {
    return this.#sequence;
  }

  /** True when reads wait for the next broadcast. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** What a heartbeat carries: the newest round on its way, 0 when none waits. */
  get newest(): number {
    return this.#waiting.at(-1)?.sequence ?? 0;
  }

  /** Joins the open round or begins one. Undefined when too many wait. */
  join(): number | undefined {
    if (this.#isOpen) return this.#sequence;
    if (this.#waiting.length >= ROUNDS_MAX) return undefined;
    this.#isOpen = true;
    this.#sequence += 1;
    return this.#sequence;
  }

  /** The open round leaves with the heartbeats that are sent now. */
  begin(commit: LogIndex): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#waiting.push({ sequence: this.#sequence, index: commit });
  }

  answered(id: ReplicaId, sequence: number): void {
    this.#answered.set(id, Math.max(this.#answered.get(id) ?? 0, sequence));
  }

  /** Takes out what a majority has confirmed; the leader itself agrees with all. */
  takeConfirmed(voters: readonly ReplicaId[], self: ReplicaId): ReadState[] {
    const confirmed = reachedByMajority(voters, (id) =>
      id === self ? this.#sequence : (this.#answered.get(id) ?? 0),
    );
    const later = this.#waiting.findIndex((round) => round.sequence > confirmed);
    return this.#waiting.splice(0, later < 0 ? this.#waiting.length : later);
  }

  /** The leadership ends: what was not confirmed never will be. */
  drop(): number[] {
    const dropped = this.#waiting.splice(0).map((round) => round.sequence);
    if (this.#isOpen) dropped.push(this.#sequence);
    this.#isOpen = false;
    return dropped;
  }

  /** Forgets members that left. */
  keepOnly(members: ReadonlySet<ReplicaId>): void {
    for (const id of this.#answered.keys()) if (!members.has(id)) this.#answered.delete(id);
  }
}
