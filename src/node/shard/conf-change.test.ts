import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DecodeError } from '../../kernel/byte-codec.ts';
import { type ConfChange, changedMeta, decodeConfChange, encodeConfChange } from './conf-change.ts';
import { WHOLE_SHARD } from './machine-suite.ts';
import { confStateOf, type ShardMeta } from './shard-meta.ts';

const EPOCH = WHOLE_SHARD.epoch;

function after(change: ConfChange, meta = WHOLE_SHARD): ShardMeta | undefined {
  const result = changedMeta(meta, change);
  return result.type === 'changed' ? result.meta : undefined;
}

test('decodeConfChange() gives back every change that was encoded', () => {
  const changes: ConfChange[] = [
    { type: 'add-learner', epoch: EPOCH, replicaId: 20, storeId: 4 },
    { type: 'promote', epoch: { generation: 0, confVersion: 2 ** 50 }, replicaId: 12 },
    { type: 'remove', epoch: EPOCH, replicaId: 10 },
  ];
  for (const change of changes) {
    assert.deepEqual(decodeConfChange(encodeConfChange(change)), change);
  }
});

test('decodeConfChange() answers garbage with DecodeError and nothing else', () => {
  const good = encodeConfChange({ type: 'add-learner', epoch: EPOCH, replicaId: 20, storeId: 4 });
  const head = fc.constantFrom([], [1], [1, 0], [1, 1], [1, 2], [1, 3], [2, 0]);
  fc.assert(
    fc.property(head, fc.uint8Array({ maxLength: 40 }), (start, rest) => {
      try {
        decodeConfChange(Uint8Array.from([...start, ...rest]));
      } catch (error) {
        assert.ok(error instanceof DecodeError, String(error));
      }
    }),
    { numRuns: 1000 },
  );
  for (let length = 0; length < good.length; length += 1) {
    assert.throws(() => decodeConfChange(good.subarray(0, length)), DecodeError);
  }
  assert.throws(() => decodeConfChange(Uint8Array.of(2, ...good.subarray(1))), DecodeError);
  assert.throws(() => decodeConfChange(Uint8Array.of(1, 3, ...good.subarray(2))), DecodeError);
  assert.throws(() => decodeConfChange(Uint8Array.of(...good, 0)), DecodeError);
});

test('a learner comes, becomes a voter and goes, one version at a time', () => {
  const added = after({ type: 'add-learner', epoch: EPOCH, replicaId: 20, storeId: 4 });
  assert.ok(added);
  assert.deepEqual(confStateOf(added.replicas), { voters: [10, 11], learners: [12, 20] });
  assert.deepEqual(added.epoch, { generation: 1, confVersion: 2 });
  const promoted = after({ type: 'promote', epoch: added.epoch, replicaId: 12 }, added);
  assert.ok(promoted);
  assert.deepEqual(confStateOf(promoted.replicas), { voters: [10, 11, 12], learners: [20] });
  assert.deepEqual(
    promoted.replicas.map(({ replicaId }) => replicaId),
    [10, 11, 12, 20],
  );
  const removed = after({ type: 'remove', epoch: promoted.epoch, replicaId: 10 }, promoted);
  assert.deepEqual(confStateOf(removed?.replicas ?? []), { voters: [11, 12], learners: [20] });
  assert.deepEqual(removed?.epoch, { generation: 1, confVersion: 4 });
});

test('lesson 7: a change that does not fit the members is refused', () => {
  const refused: ConfChange[] = [
    { type: 'add-learner', epoch: { ...EPOCH, confVersion: 0 }, replicaId: 20, storeId: 4 },
    { type: 'add-learner', epoch: { ...EPOCH, confVersion: 2 }, replicaId: 20, storeId: 4 },
    { type: 'add-learner', epoch: EPOCH, replicaId: 12, storeId: 4 },
    { type: 'add-learner', epoch: EPOCH, replicaId: 20, storeId: 3 },
    { type: 'promote', epoch: EPOCH, replicaId: 10 },
    { type: 'promote', epoch: EPOCH, replicaId: 20 },
    { type: 'remove', epoch: EPOCH, replicaId: 20 },
  ];
  for (const change of refused) assert.equal(after(change), undefined);
  // A split in between changes the range and not the members (d.5).
  const generation = { ...EPOCH, generation: 9 };
  assert.ok(after({ type: 'remove', epoch: generation, replicaId: 12 }));
});

test('lesson 7: the last voter is never removed, a learner beside it is', () => {
  const meta = { ...WHOLE_SHARD, replicas: WHOLE_SHARD.replicas.slice(1) };
  assert.equal(after({ type: 'remove', epoch: EPOCH, replicaId: 11 }, meta), undefined);
  const left = after({ type: 'remove', epoch: EPOCH, replicaId: 12 }, meta);
  assert.deepEqual(confStateOf(left?.replicas ?? []), { voters: [11], learners: [] });
});
