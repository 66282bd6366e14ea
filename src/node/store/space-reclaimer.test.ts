import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KeyRange } from '../../kernel/bytes.ts';
import { SILENT } from '../../kernel/observer.ts';
import { logRange } from '../storage/keys.ts';
import { SpaceReclaimer } from './space-reclaimer.ts';

class SlowCompaction {
  readonly ranges: KeyRange[] = [];
  #finish: ((error?: Error) => void) | undefined;

  compact(range: KeyRange): Promise<void> {
    assert.equal(this.#finish, undefined, 'One compaction at a time');
    this.ranges.push(range);
    return new Promise((resolve, reject) => {
      this.#finish = (error) => (error === undefined ? resolve() : reject(error));
    });
  }

  async finish(error?: Error): Promise<void> {
    const finish = this.#finish;
    this.#finish = undefined;
    finish?.(error);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const rangeOf = (shardId: number): KeyRange => logRange(shardId, 0, Number.MAX_SAFE_INTEGER);

test('a log is compacted once enough of it was cut, one log at a time', async () => {
  const engine = new SlowCompaction();
  const reclaimer = new SpaceReclaimer({ engine, observer: SILENT, worthBytes: 100 });
  reclaimer.logCut(1, 60);
  reclaimer.logCut(2, 60);
  assert.deepEqual(engine.ranges, []);
  reclaimer.logCut(1, 40);
  reclaimer.logCut(2, 40);
  assert.deepEqual(engine.ranges, [rangeOf(1)]);
  await engine.finish();
  assert.deepEqual(engine.ranges, [rangeOf(1), rangeOf(2)]);
  await engine.finish();
  reclaimer.logCut(1, 99);
  assert.equal(engine.ranges.length, 2);
});

test('a compaction that fails is no reason to stop', async () => {
  const engine = new SlowCompaction();
  const reclaimer = new SpaceReclaimer({ engine, observer: SILENT, worthBytes: 1 });
  reclaimer.logCut(1, 1);
  await engine.finish(new Error('Disk is busy'));
  reclaimer.logCut(2, 1);
  assert.deepEqual(engine.ranges, [rangeOf(1), rangeOf(2)]);
});
