import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Clock } from '../../kernel/clock.ts';
import type { Delivery } from './memory-pipe.ts';
import { MemoryPipe } from './memory-pipe.ts';

/** A clock that runs its callbacks by hand, in order of time, newest first among equals. */
class HandClock implements Clock {
  #now = 0;
  #due: { at: number; callback: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  wallNow(): number {
    return this.#now;
  }

  after(delayMs: number, callback: () => void): { cancel(): void } {
    const entry = { at: this.#now + delayMs, callback };
    this.#due.unshift(entry);
    return {
      cancel: () => {
        this.#due = this.#due.filter((other) => other !== entry);
      },
    };
  }

  soon(callback: () => void): void {
    this.after(0, callback);
  }

  runUntil(time: number): void {
    for (;;) {
      this.#due.sort((a, b) => a.at - b.at);
      const next = this.#due[0];
      if (next === undefined || next.at > time) break;
      this.#due.shift();
      this.#now = next.at;
      next.callback();
    }
    this.#now = time;
  }
}

function pipeWith(fates: (piece: number) => Delivery): {
  clock: HandClock;
  pipe: MemoryPipe;
  arrived: number[];
  broken: string[];
  push: (piece: number) => void;
} {
  const clock = new HandClock();
  const arrived: number[] = [];
  const broken: string[] = [];
  const pipe = new MemoryPipe({
    clock,
    from: 'a',
    to: 'b',
    policy: ({ bytes }) => fates(bytes),
    onBreak: (reason) => {
      broken.push(reason);
      pipe.stop();
    },
  });
  const push = (piece: number): void =>
    pipe.push({ bytes: piece, arrive: () => arrived.push(piece) });
  return { clock, pipe, arrived, broken, push };
}

describe('MemoryPipe', () => {
  test('a quick piece does not overtake a slow one', () => {
    const { clock, arrived, push } = pipeWith((piece) => ({
      type: 'deliver',
      delayMs: piece === 1 ? 50 : 0,
    }));
    for (const piece of [1, 2, 3]) push(piece);
    clock.runUntil(49);
    assert.deepEqual(arrived, []);
    clock.runUntil(50);
    assert.deepEqual(arrived, [1, 2, 3]);
  });

  test('a stalled piece holds up what is behind it, and arrives when the way is free', () => {
    let isCut = true;
    const { clock, arrived, push } = pipeWith(() =>
      isCut ? { type: 'stall', retryMs: 100 } : { type: 'deliver', delayMs: 1 },
    );
    push(1);
    push(2);
    clock.runUntil(950);
    assert.deepEqual(arrived, []);
    isCut = false;
    clock.runUntil(1001);
    assert.deepEqual(arrived, [1, 2]);
  });

  test('silence for ten seconds breaks the stream, once', () => {
    const { clock, arrived, broken, push } = pipeWith(() => ({ type: 'stall', retryMs: 100 }));
    push(1);
    clock.runUntil(9_900);
    assert.deepEqual(broken, []);
    clock.runUntil(60_000);
    assert.equal(broken.length, 1);
    assert.deepEqual(arrived, []);
  });

  test('a break comes after its delay, and nothing behind it sets out', () => {
    const { clock, arrived, broken, push } = pipeWith((piece) =>
      piece === 2 ? { type: 'break', delayMs: 20 } : { type: 'deliver', delayMs: 5 },
    );
    for (const piece of [1, 2, 3]) push(piece);
    clock.runUntil(19);
    assert.deepEqual([arrived, broken], [[1], []]);
    clock.runUntil(100);
    assert.deepEqual([arrived, broken.length], [[1], 1]);
  });

  test('what is on its way when the pipe stops never arrives', () => {
    const { clock, pipe, arrived, push } = pipeWith(() => ({ type: 'deliver', delayMs: 5 }));
    push(1);
    pipe.stop();
    push(2);
    clock.runUntil(100);
    assert.deepEqual(arrived, []);
  });
});
