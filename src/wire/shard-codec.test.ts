import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { HintedShard } from '../kernel/errors.ts';
import { MatrixError } from '../kernel/errors.ts';
import { ReplicaRole } from './gen/matrixkv/v1/shard_pb.ts';
import { fromUint64, toUint64 } from './safe-number.ts';
import { fromShard, toShard } from './shard-codec.ts';

/** Plain objects, as the codec makes them: fast-check's own have no prototype. */
const record = <T>(model: { [Key in keyof T]: fc.Arbitrary<T[Key]> }): fc.Arbitrary<T> =>
  fc.record(model, { noNullPrototype: true });

const number = fc.maxSafeNat();
const key = fc.uint8Array({ maxLength: 20 });
const shards: fc.Arbitrary<HintedShard> = record({
  id: number,
  start: key,
  end: key,
  epoch: record({ generation: number, confVersion: number }),
  replicas: fc.array(
    record({
      replicaId: number,
      storeId: number,
      role: fc.constantFrom('voter' as const, 'learner' as const),
    }),
    { maxLength: 5 },
  ),
});

const SHARD: HintedShard = {
  id: 7,
  start: Uint8Array.of(1),
  end: Uint8Array.of(2),
  epoch: { generation: 3, confVersion: 4 },
  replicas: [{ replicaId: 5, storeId: 6, role: 'voter' }],
};

function isInvalid(error: unknown): boolean {
  return error instanceof MatrixError && error.code === 'INVALID_ARGUMENT';
}

describe('shard codec', () => {
  test('a shard survives the way out and back', () => {
    fc.assert(
      fc.property(shards, (shard) => {
        assert.deepEqual(fromShard(toShard(shard)), shard);
      }),
    );
  });

  test('a shard without epoch is refused', () => {
    const { epoch: _, ...wire } = toShard(SHARD);
    assert.throws(() => fromShard(wire), isInvalid);
  });

  test('a role from a newer peer is refused', () => {
    const wire = toShard(SHARD);
    for (const replica of wire.replicas) replica.role = ReplicaRole.UNSPECIFIED;
    assert.throws(() => fromShard(wire), isInvalid);
  });

  test('numbers pass up to 2^53-1 and not beyond', () => {
    assert.equal(fromUint64(toUint64(Number.MAX_SAFE_INTEGER), 'n'), Number.MAX_SAFE_INTEGER);
    assert.throws(() => fromUint64(2n ** 53n, 'n'), isInvalid);
    assert.throws(() => fromShard({ ...toShard(SHARD), id: 2n ** 64n - 1n }), isInvalid);
  });

  test('a number of ours that is no safe integer is a bug', () => {
    for (const value of [-1, 0.5, 2 ** 53, Number.NaN]) {
      assert.throws(() => toUint64(value), { name: 'AssertionError' });
    }
  });
});
