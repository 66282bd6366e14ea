import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from '../../kernel/clock.ts';
import { SILENT } from '../../kernel/observer.ts';
import { MemoryEngine } from '../storage/memory-engine.ts';
import { TurnLoop } from './turn-loop.ts';

/** Runs what the loop wants to do soon when the test says so. */
class StandingClock implements Clock {
  readonly waiting: (() => void)[] = [];

  now(): number {
    return 0;
  }

  wallNow(): number {
    return 0;
  }

  after(): { cancel: () => void } {
    return { cancel: () => {} };
  }

  soon(callback: () => void): void {
    this.waiting.push(callback);
  }
}

test('a loop that stops waits for its write, however long, without asking again and again', async () => {
  const clock = new StandingClock();
  const disk = Promise.withResolvers<void>();
  const engine = new MemoryEngine({
    commit: async (apply) => {
      await disk.promise;
      apply();
    },
  });
  const loop = new TurnLoop({
    engine,
    clock,
    observer: SILENT,
    send: () => {},
    reserve: () => {},
    carryOut: () => {},
    onFatal: (error) => assert.fail(String(error)),
  });
  const key = Uint8Array.of(1);
  const written = loop.submit([{ type: 'put', key, value: key }]);
  clock.waiting.shift()?.();
  let isStopped = false;
  const stopped = loop.stop().then(() => {
    isStopped = true;
  });
  await Promise.resolve();
  assert.equal(clock.waiting.length, 0, 'Nothing is asked while the disk works');
  assert.equal(isStopped, false);
  disk.resolve();
  await written;
  await stopped;
  assert.deepEqual(engine.get(key), Buffer.from(key));
});
