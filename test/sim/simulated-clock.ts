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
  /** What waits for the process to go on. */
  readonly #held: (() => void)[] = [];

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
    const run = (): void => {
      if (!isCancelled) callback();
    };
    const timer =
      this.#state === 'dead'
        ? undefined
        : this.#scheduler.after(delayMs, () => {
            if (!isCancelled) this.enter(run);
          });
    return {
      cancel: () => {
        isCancelled = true;
        timer?.cancel();
      },
    };
  }

  /** Lets something happen to the process: now, later when it is paused, never when it is dead. */
  enter(callback: () => void): void {
    if (this.#state === 'dead') return;
    if (this.#state === 'running' && this.#held.length === 0) callback();
    else this.#held.push(callback);
  }

  isDead(): boolean {
    return this.#state === 'dead';
  }

  kill(): void {
    this.#state = 'dead';
    this.#held.length = 0;
  }

  pause(): void {
    assert(this.#state !== 'dead', 'A dead process cannot be paused');
    this.#state = 'paused';
  }

  /** Everything that fell due in the meantime happens now, in its order and before anything new. */
  resume(): void {
    if (this.#state !== 'paused') return;
    this.#state = 'running';
    this.#scheduler.after(0, () => this.#catchUp());
  }

  /** One event for each, so that its promise jobs finish before the next. */
  #catchUp(): void {
    if (this.#state !== 'running') return;
    const callback = this.#held[0];
    if (callback === undefined) return;
    callback();
    this.#held.shift();
    if (this.#held.length > 0) this.#scheduler.after(0, () => this.#catchUp());
  }
}
