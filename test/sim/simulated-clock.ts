// The clock of one simulated process. Killing the process drops all its timers; pausing it (SIGSTOP)
// holds them back until it goes on, while time itself passes; drift makes its time run faster or
// slower than that of others. Messages and disk answers reach a process through its clock as well,
// so that a dead one hears nothing and a paused one hears everything late.

import { assert } from '../../src/kernel/assert.ts';
import type { Clock, Timer } from '../../src/kernel/clock.ts';
import type { Scheduler } from './scheduler.ts';

/** An arbitrary day, the same in every run. */
const WALL_EPOCH_MS = 1_700_000_000_000;

export interface SimulatedClockOptions {
  readonly scheduler: Scheduler;
  /** Parts per million by which this clock is fast; negative is slow. */
  readonly driftPpm?: number;
  /** How far its wall clock is off. Safety must not depend on it. */
  readonly wallOffsetMs?: number;
}

export class SimulatedClock implements Clock {
  readonly #scheduler: Scheduler;
  readonly #rate: number;
  readonly #wallOffsetMs: number;
  readonly #bornMs: number;
  #state: 'running' | 'paused' | 'dead' = 'running';
  #held: (() => void)[] = [];

  constructor({ scheduler, driftPpm = 0, wallOffsetMs = 0 }: SimulatedClockOptions) {
    this.#scheduler = scheduler;
    this.#rate = 1 + driftPpm / 1_000_000;
    this.#wallOffsetMs = wallOffsetMs;
    this.#bornMs = scheduler.now();
  }

  /** Begins at zero with the process: a moment means nothing to another one, or to the next. */
  now(): number {
    return (this.#scheduler.now() - this.#bornMs) * this.#rate;
  }

  wallNow(): number {
    return WALL_EPOCH_MS + this.#wallOffsetMs + Math.floor(this.#scheduler.now() * this.#rate);
  }

  after(delayMs: number, callback: () => void): Timer {
    return this.afterGlobal(delayMs / this.#rate, callback);
  }

  soon(callback: () => void): void {
    this.afterGlobal(0, callback);
  }

  /** The time of the world, which no process can see. */
  globalNow(): number {
    return this.#scheduler.now();
  }

  /** A delay measured by the world: how long a message or a disk takes. */
  afterGlobal(delayMs: number, callback: () => void): Timer {
    let isCancelled = false;
    // The wrapper asks again when it runs: the process may have died or stopped in between.
    const run = (): void => {
      if (isCancelled || this.#state === 'dead') return;
      if (this.#state === 'paused') this.#held.push(run);
      else callback();
    };
    const timer = this.#state === 'dead' ? undefined : this.#scheduler.after(delayMs, run);
    return {
      cancel: () => {
        isCancelled = true;
        timer?.cancel();
      },
    };
  }

  isDead(): boolean {
    return this.#state === 'dead';
  }

  kill(): void {
    this.#state = 'dead';
    this.#held = [];
  }

  pause(): void {
    assert(this.#state !== 'dead', 'A dead process cannot be paused');
    this.#state = 'paused';
  }

  /** Everything that fell due in the meantime happens now, in its order. */
  resume(): void {
    if (this.#state !== 'paused') return;
    this.#state = 'running';
    const held = this.#held;
    this.#held = [];
    for (const run of held) this.#scheduler.after(0, run);
  }
}
