// The simulated course of time: takes the earliest event, sets the time, runs it, lets all promise
// jobs finish, and goes on. Nothing in a simulated run may wait for anything else.
//
// Node drains its promise jobs after each `setImmediate` callback, also between two callbacks of the
// same turn of the event loop. One event per callback and many callbacks per turn is the cheapest way
// to let every event run to its end.

import { assert } from '../../src/kernel/assert.ts';
import type { Timer } from '../../src/kernel/clock.ts';
import { EventHeap, type ScheduledEvent } from './event-heap.ts';
import { Trace } from './trace.ts';

/** No event happens in the very moment that caused it, so that a busy loop still moves the time. */
const DELAY_MS_MIN = 0.001;

/** Callbacks handed to one turn of the event loop. */
const EVENTS_PER_TURN = 128;

/** More waiting events than any healthy run has: something breeds. */
const EVENTS_WAITING_MAX = 1_000_000;

export interface RunOptions {
  /** Where the run ends at the latest, in simulated milliseconds. */
  readonly untilMs: number;
  /** Asked before each event: true ends the run. */
  readonly until?: () => boolean;
}

export class Scheduler {
  readonly trace = new Trace();
  readonly #heap = new EventHeap();
  #nowMs = 0;
  #sequence = 0;
  #eventsRun = 0;
  #isRunning = false;
  #failure: { readonly error: unknown } | undefined;

  now(): number {
    return this.#nowMs;
  }

  /** How many events ran so far. */
  eventsRun(): number {
    return this.#eventsRun;
  }

  after(delayMs: number, callback: () => void): Timer {
    assert(!Number.isNaN(delayMs), 'A delay must be a number');
    assert(this.#heap.size < EVENTS_WAITING_MAX, `${EVENTS_WAITING_MAX} events wait`);
    const timeMs = this.#nowMs + Math.max(delayMs, DELAY_MS_MIN);
    const event: ScheduledEvent = { timeMs, sequence: this.#sequence, callback };
    this.#sequence += 1;
    this.#heap.push(event);
    return {
      cancel: () => {
        event.callback = undefined;
      },
    };
  }

  record(label: string): void {
    this.trace.record(this.#nowMs, label);
  }

  /** Ends the run: something that must never happen was seen outside of an event. */
  fail(error: unknown): void {
    this.#failure ??= { error };
  }

  /**
   * Runs until the condition holds (true) or the time is over (false). What an event throws ends the
   * run and rejects.
   */
  run(options: RunOptions): Promise<boolean> {
    assert(!this.#isRunning, 'The scheduler runs already');
    this.#isRunning = true;
    return new Promise((resolve, reject) => {
      // Callbacks of this run may still wait in the event loop when the next run begins.
      let isOver = false;
      const finish = (settle: () => void): void => {
        isOver = true;
        this.#isRunning = false;
        settle();
      };
      const turn = (): void => {
        if (isOver) return;
        try {
          const end = this.#step(options);
          if (end !== 'goes-on') finish(() => resolve(end === 'reached'));
        } catch (error) {
          finish(() => reject(error));
        }
      };
      const batch = (): void => {
        if (isOver) return;
        for (let count = 0; count < EVENTS_PER_TURN; count += 1) setImmediate(turn);
        setImmediate(batch);
      };
      batch();
    });
  }

  #step(options: RunOptions): 'reached' | 'time-over' | 'goes-on' {
    if (this.#failure !== undefined) throw this.#failure.error;
    if (options.until?.() === true) return 'reached';
    this.#dropCancelled();
    const next = this.#heap.peek();
    if (next === undefined || next.timeMs > options.untilMs) {
      this.#nowMs = Math.max(this.#nowMs, options.untilMs);
      return 'time-over';
    }
    this.#heap.pop();
    this.#nowMs = next.timeMs;
    this.#eventsRun += 1;
    this.trace.mark(next.timeMs);
    const callback = next.callback;
    next.callback = undefined;
    callback?.();
    return 'goes-on';
  }

  #dropCancelled(): void {
    while (this.#heap.size > 0 && this.#heap.peek()?.callback === undefined) this.#heap.pop();
  }
}
