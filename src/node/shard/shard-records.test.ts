import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ByteReader, ByteWriter, DecodeError } from '../../kernel/byte-codec.ts';
import { utf8 } from '../../kernel/bytes.ts';
import { CorruptRecordError, sealRecord } from '../storage/checksum.ts';
import { applyStateKey, destroyKey, hardStateKey, metaKey } from '../storage/keys.ts';
import { MemoryEngine } from '../storage/memory-engine.ts';
import { OverlayBatch } from '../storage/overlay-batch.ts';
import { WHOLE_SHARD } from './machine-suite.ts';
import type { ShardMeta } from './shard-meta.ts';
import { decodeShardMeta, encodeShardMeta } from './shard-meta-codec.ts';
import {
  buryReplica,
  decodeApplyState,
  decodeDestroy,
  decodeHardState,
  decodeMeta,
  type MetaRecord,
  putApplyState,
  putHardState,
  putMeta,
} from './shard-records.ts';

const META: ShardMeta = { ...WHOLE_SHARD, id: 9, start: utf8('b'), end: utf8('x') };

function batch(): OverlayBatch {
  return new OverlayBatch(new MemoryEngine());
}

function written(work: (batch: OverlayBatch) => void, key: Uint8Array): Uint8Array {
  const target = batch();
  work(target);
  const bytes = target.get(key);
  assert.ok(bytes !== undefined);
  return bytes;
}

/** Bytes compare by content, whatever their class. */
function plain(value: unknown): string {
  return JSON.stringify(value, (_, one: unknown) =>
    one instanceof Uint8Array ? [...one] : one,
  ).replaceAll(/\{"type":"Buffer","data":(\[[\d,]*\])\}/g, '$1');
}

test('the record of a replica comes back as it was written, in each of its states', () => {
  const records: MetaRecord[] = [
    { state: 'normal', meta: META, replicaId: 10, minReplicaId: 10 },
    { state: 'tombstone', meta: META, replicaId: 10, minReplicaId: 11 },
    { state: 'applying', meta: META, replicaId: 10, minReplicaId: 3, replaced: WHOLE_SHARD },
  ];
  const key = metaKey(META.id);
  for (const record of records) {
    const bytes = written((target) => putMeta(target, record), key);
    assert.equal(plain(sorted(decodeMeta(key, bytes))), plain(sorted(record)));
  }
});

test('a state that this program does not know is no tombstone', () => {
  const key = metaKey(META.id);
  const payload = encodeShardMeta(new ByteWriter().u8(3).u64(1).u64(1), META).bool(false).finish();
  assert.throws(() => decodeMeta(key, sealRecord(1, key, payload)), DecodeError);
});

test('hard state and apply state come back as they were written', () => {
  const hardKey = hardStateKey(9);
  const hard = { term: 2 ** 50, vote: 3, commit: 7 };
  assert.deepEqual(
    decodeHardState(
      hardKey,
      written((target) => putHardState(target, 9, hard), hardKey),
    ),
    hard,
  );
  const applyKey = applyStateKey(9);
  const apply = { applied: { term: 5, index: 70 }, truncated: { term: 4, index: 60 } };
  assert.deepEqual(
    decodeApplyState(
      applyKey,
      written((target) => putApplyState(target, 9, apply), applyKey),
    ),
    apply,
  );
});

test('lesson 23: each flipped byte of a record is noticed, and a record of another shard', () => {
  const cases: [Uint8Array, Uint8Array, (key: Uint8Array, bytes: Uint8Array) => unknown][] = [
    [
      metaKey(9),
      written(
        (b) => putMeta(b, { state: 'normal', meta: META, replicaId: 1, minReplicaId: 1 }),
        metaKey(9),
      ),
      decodeMeta,
    ],
    [
      hardStateKey(9),
      written((b) => putHardState(b, 9, { term: 1, vote: 2, commit: 3 }), hardStateKey(9)),
      decodeHardState,
    ],
    [
      applyStateKey(9),
      written(
        (b) =>
          putApplyState(b, 9, { applied: { term: 1, index: 1 }, truncated: { term: 0, index: 0 } }),
        applyStateKey(9),
      ),
      decodeApplyState,
    ],
  ];
  for (const [key, bytes, decode] of cases) {
    for (let at = 0; at < bytes.length; at += 1) {
      const damaged = Uint8Array.from(bytes);
      damaged[at] = (damaged[at] ?? 0) ^ 0x40;
      assert.throws(() => decode(key, damaged), CorruptRecordError);
    }
    const other = Uint8Array.from(key);
    other[8] = 1;
    assert.throws(() => decode(other, bytes), CorruptRecordError);
  }
});

test('lesson 9: a buried replica leaves a tombstone above its id and what is to be destroyed', () => {
  const target = batch();
  buryReplica(target, { meta: META, replicaId: 10 });
  const record = decodeMeta(metaKey(9), target.get(metaKey(9)) ?? new Uint8Array());
  assert.deepEqual([record.state, record.minReplicaId], ['tombstone', 11]);
  const destroy = decodeDestroy(destroyKey(9), target.get(destroyKey(9)) ?? new Uint8Array());
  assert.equal(plain(destroy), plain(META));
});

test('lesson 9: burying an older replica does not let later ones come back', () => {
  const target = batch();
  buryReplica(target, { meta: META, replicaId: 20 });
  buryReplica(target, { meta: META, replicaId: 10 });
  const record = decodeMeta(metaKey(9), target.get(metaKey(9)) ?? new Uint8Array());
  assert.equal(record.minReplicaId, 21);
});

test('a shard meta survives its encoding and does not hold on to the record', () => {
  const number = fc.maxSafeNat();
  const replica = fc.record(
    {
      replicaId: number,
      storeId: number,
      role: fc.constantFrom('voter' as const, 'learner' as const),
    },
    { noNullPrototype: true },
  );
  const bytes = fc.uint8Array({ maxLength: 20 });
  fc.assert(
    fc.property(number, bytes, bytes, fc.array(replica), (id, start, end, replicas) => {
      const epoch = { generation: id, confVersion: 3 };
      const encoded = encodeShardMeta(new ByteWriter(), {
        id,
        start,
        end,
        epoch,
        replicas,
      }).finish();
      const decoded = decodeShardMeta(new ByteReader(encoded));
      encoded.fill(0xee);
      assert.equal(plain(decoded), plain({ id, start, end, epoch, replicas }));
    }),
  );
});

function sorted(record: MetaRecord): unknown {
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));
}
