import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareBytes, EMPTY, utf8 } from '../../kernel/bytes.ts';
import type { SplitCommand, SplitPart } from './commands.ts';
import { WHOLE_SHARD } from './machine-suite.ts';
import type { ShardMeta } from './shard-meta.ts';
import { KeyPlanner, type KeySize, SPLIT_PARTS_MAX, SplitPlanner, splitShard } from './split.ts';

const META: ShardMeta = { ...WHOLE_SHARD, id: 7, start: utf8('b'), end: utf8('x') };

function partOf(end: string, shardId: number): SplitPart {
  const replicaIds = [shardId + 1, shardId + 2, shardId + 3];
  return { end: utf8(end), shardId, replicaIds, sizeBytes: 1, keys: 1 };
}

function commandOf(...parts: SplitPart[]): SplitCommand {
  return { type: 'split', epoch: META.epoch, parts };
}

test('splitShard() cuts the new shards off on the left and keeps the id on the right', () => {
  const result = splitShard(META, commandOf(partOf('f', 100), partOf('m', 200)));
  assert.ok(result);
  const epoch = { generation: 3, confVersion: 1 };
  assert.deepEqual(result.rest, { ...META, start: utf8('m'), epoch });
  assert.deepEqual(
    result.created.map(({ id, start, end }) => [id, String(start), String(end)]),
    [
      [100, 'b', 'f'],
      [200, 'f', 'm'],
    ],
  );
  assert.deepEqual(result.created[1]?.epoch, epoch);
  assert.deepEqual(result.created[1]?.replicas, [
    { replicaId: 201, storeId: 1, role: 'voter' },
    { replicaId: 202, storeId: 2, role: 'voter' },
    { replicaId: 203, storeId: 3, role: 'learner' },
  ]);
});

test('splitShard() refuses what does not fit the shard any more', () => {
  const part = partOf('f', 100);
  const fits = (command: SplitCommand, meta = META): boolean =>
    splitShard(meta, command) !== undefined;
  assert.equal(fits(commandOf(part)), true);
  assert.equal(fits({ ...commandOf(part), epoch: { generation: 2, confVersion: 1 } }), false);
  assert.equal(fits({ ...commandOf(part), epoch: { generation: 1, confVersion: 2 } }), false);
  assert.equal(fits(commandOf()), false, 'no parts');
  assert.equal(fits(commandOf(partOf('b', 100))), false, 'an empty part');
  assert.equal(fits(commandOf(partOf('a', 100))), false, 'before the start');
  assert.equal(fits(commandOf(partOf('x', 100))), false, 'nothing left for the old shard');
  assert.equal(fits(commandOf(partOf('z', 100))), false, 'behind the end');
  assert.equal(fits(commandOf(partOf('', 100))), false, 'no end');
  assert.equal(fits(commandOf(partOf('m', 100), partOf('f', 200))), false, 'descending');
  assert.equal(fits(commandOf(partOf('m', 100), partOf('m', 200))), false, 'repeated');
  assert.equal(fits(commandOf({ ...part, replicaIds: [1, 2] })), false, 'a replica without an id');
  assert.equal(fits(commandOf(partOf('z', 100)), { ...META, end: EMPTY }), true, 'no end to pass');
  const many = Array.from({ length: SPLIT_PARTS_MAX + 1 }, (_, n) =>
    partOf(`c${String.fromCharCode(97 + n)}`, 100 * n),
  );
  assert.equal(fits(commandOf(...many)), false, 'too many parts');
  assert.equal(fits(commandOf(...many.slice(1))), true);
});

function hexText(maxLength: number): fc.Arbitrary<string> {
  const unit = fc.constantFrom('0', '1', '7', 'a', 'f');
  return fc.string({ unit, minLength: 1, maxLength });
}

/** Keys in ascending order, as a scan of the shard gives them. */
const keySizes: fc.Arbitrary<KeySize[]> = fc
  .uniqueArray(fc.record({ key: hexText(4), bytes: fc.nat(500) }), {
    selector: ({ key }) => key,
    maxLength: 80,
  })
  .map((list) =>
    list
      .map(({ key, bytes }) => ({ key: utf8(key), bytes: bytes + key.length }))
      .sort((a, b) => compareBytes(a.key, b.key)),
  );

function sumOf(entries: readonly KeySize[]): number {
  return entries.reduce((sum, { bytes }) => sum + bytes, 0);
}

function checkParts(
  parts: ReturnType<SplitPlanner['parts']>,
  entries: readonly KeySize[],
  start: Uint8Array,
): void {
  let from = start;
  for (const part of parts) {
    assert.ok(compareBytes(part.end, from) > 0, 'ends ascend');
    const inside = entries.filter(
      ({ key }) => compareBytes(key, from) >= 0 && compareBytes(key, part.end) < 0,
    );
    assert.equal(part.keys, inside.length);
    assert.equal(part.sizeBytes, sumOf(inside));
    from = part.end;
  }
}

test('SplitPlanner measures ascending parts inside the shard, each of even weight', () => {
  fc.assert(
    fc.property(keySizes, fc.integer({ min: 1, max: 3000 }), (entries, targetBytes) => {
      const sizeBytes = sumOf(entries);
      const planner = new SplitPlanner({ start: EMPTY, sizeBytes, targetBytes });
      for (const entry of entries) planner.add(entry);
      const parts = planner.parts();
      assert.ok(parts.length <= SPLIT_PARTS_MAX);
      checkParts(parts, entries, EMPTY);
      if (entries.length > 1 && sizeBytes >= targetBytes) assert.ok(parts.length > 0);
      const count = Math.min(SPLIT_PARTS_MAX + 1, Math.max(2, Math.ceil(sizeBytes / targetBytes)));
      const largest = Math.max(0, ...entries.map(({ bytes }) => bytes));
      for (const part of parts) {
        if (parts.length > 1) assert.ok(part.sizeBytes < Math.ceil(sizeBytes / count) + largest);
        const last = entries.at(-1);
        assert.ok(last !== undefined && compareBytes(part.end, last.key) <= 0, 'something is left');
      }
    }),
    { numRuns: 500 },
  );
});

test('SplitPlanner cuts a shard whose weight lies in its last key before that key', () => {
  const planner = new SplitPlanner({ start: EMPTY, sizeBytes: 1100, targetBytes: 1024 });
  planner.add({ key: utf8('a'), bytes: 10 });
  planner.add({ key: utf8('b'), bytes: 1090 });
  assert.deepEqual(planner.parts(), [{ end: utf8('b'), sizeBytes: 10, keys: 1 }]);
});

test('SplitPlanner cuts off a single key, but not at the very start of its shard', () => {
  const planner = (start: string): SplitPlanner => {
    const one = new SplitPlanner({ start: utf8(start), sizeBytes: 1100, targetBytes: 1024 });
    one.add({ key: utf8('k'), bytes: 1100 });
    return one;
  };
  assert.deepEqual(planner('').parts(), [{ end: utf8('k'), sizeBytes: 0, keys: 0 }]);
  assert.deepEqual(planner('k').parts(), []);
  const empty = new SplitPlanner({ start: EMPTY, sizeBytes: 0, targetBytes: 1024 });
  assert.deepEqual(empty.parts(), []);
});

test('SplitPlanner does not cut what is smaller than its counters say', () => {
  // After a split the counters are an estimate; a shard that is small must not be cut to pieces.
  const planner = new SplitPlanner({ start: EMPTY, sizeBytes: 5000, targetBytes: 1024 });
  planner.add({ key: utf8('a'), bytes: 100 });
  planner.add({ key: utf8('b'), bytes: 100 });
  assert.deepEqual(planner.parts(), []);
});

test('SplitPlanner cuts off no more than a split may, however small its counters were', () => {
  const planner = new SplitPlanner({ start: EMPTY, sizeBytes: 100, targetBytes: 10 });
  for (let n = 100; n < 200; n += 1) planner.add({ key: utf8(`${n}`), bytes: 10 });
  assert.equal(planner.parts().length, SPLIT_PARTS_MAX);
});

test('KeyPlanner cuts at the given keys, also where no key lies between or behind them', () => {
  fc.assert(
    fc.property(keySizes, fc.uniqueArray(hexText(3)), (entries, texts) => {
      const cuts = texts.map(utf8).sort(compareBytes);
      const planner = new KeyPlanner(cuts);
      for (const entry of entries) planner.add(entry);
      const parts = planner.parts();
      assert.deepEqual(
        parts.map(({ end }) => String(end)),
        cuts.map(String),
      );
      checkParts(parts, entries, EMPTY);
    }),
  );
});
