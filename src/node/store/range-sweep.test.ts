import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EMPTY, utf8 } from '../../kernel/bytes.ts';
import type { WriteOperation } from '../storage/engine.ts';
import { MemoryEngine } from '../storage/memory-engine.ts';
import { sweepRanges } from './range-sweep.ts';

const RANGE = { start: utf8('b'), end: utf8('c') };

async function filled(count: number): Promise<MemoryEngine> {
  const engine = new MemoryEngine();
  const keys = ['a', 'c', ...Array.from({ length: count }, (_, n) => `b${n}`)];
  await engine.write(keys.map((key) => ({ type: 'put', key: utf8(key), value: utf8('v') })));
  return engine;
}

async function keysIn(engine: MemoryEngine): Promise<string[]> {
  const all = { start: EMPTY, end: EMPTY, limit: 1e6, bytesMax: 1e9 };
  const page = await engine.scan(all);
  return page.entries.map(({ key }) => Buffer.from(key).toString());
}

test('sweepRanges() deletes what lies inside, in several batches, and nothing else', async () => {
  const engine = await filled(4500);
  const batches: number[] = [];
  const submit = (operations: readonly WriteOperation[]): Promise<void> => {
    batches.push(operations.length);
    return engine.write(operations);
  };
  await sweepRanges({ engine, submit }, [RANGE, { start: utf8('x'), end: utf8('y') }]);
  assert.deepEqual(await keysIn(engine), ['a', 'c']);
  assert.ok(batches.length >= 3 && Math.max(...batches) <= 2000, batches.join(', '));
});

test('sweepRanges() can be repeated after it broke off anywhere', async () => {
  const engine = await filled(4500);
  let left = 1;
  const submit = async (operations: readonly WriteOperation[]): Promise<void> => {
    left -= 1;
    if (left < 0) throw new Error('The store is stopped');
    await engine.write(operations);
  };
  await assert.rejects(sweepRanges({ engine, submit }, [RANGE]));
  assert.ok((await keysIn(engine)).length > 2);
  left = 10;
  await sweepRanges({ engine, submit }, [RANGE]);
  assert.deepEqual(await keysIn(engine), ['a', 'c']);
});
