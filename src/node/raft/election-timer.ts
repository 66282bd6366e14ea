// When a replica that hears no leader may try to become one. The time-out is drawn anew for each
// attempt, so that two replicas do not collide for ever (Raft 5.2). The same clock holds the lease:
// for one election time-out after hearing a leader, no other candidate is supported (thesis 4.2.3).

import type { Random } from '../../kernel/random.ts';
import { between } from '../../kernel/random.ts';

export interface ElectionTimerOptions {
  readonly random: Random;
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
}

export class ElectionTimer {
  readonly #options: ElectionTimerOptions;
  #timeout = 0;
  #remaining = 0;
  #lease = 0;

  constructor(options: ElectionTimerOptions) {
    this.#options = options;
    this.redraw();
  }

  /** True while the leader was heard within one election time-out. */
  get isLeased(): boolean {
    return this.#lease > 0;
  }

  /** A new role begins: a new time-out, and no lease. */
  redraw(): void {
    const ticks = this.#options.electionTicks;
    this.#timeout = between(this.#options.random, ticks, 2 * ticks - 1);
    this.#remaining = this.#timeout;
    this.#lease = 0;
  }

  /** Wait the whole time-out again, as after giving a vote. */
  restart(): void {
    this.#remaining = this.#timeout;
  }

  heardLeader(): void {
    this.restart();
    this.#lease = this.#options.electionTicks;
  }

  /** The leader is known to be gone: try soon, though not all replicas at the same tick. */
  lostLeader(): void {
    this.#lease = 0;
    const soon = between(this.#options.random, 1, 2 * this.#options.heartbeatTicks);
    this.#remaining = Math.min(this.#remaining, soon);
  }

  /** True when the time-out has passed. */
  tick(): boolean {
    this.#lease = Math.max(this.#lease - 1, 0);
    this.#remaining = Math.max(this.#remaining - 1, 0);
    return this.#remaining === 0;
  }
}
