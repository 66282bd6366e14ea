import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DecodeError } from '../../kernel/byte-codec.ts';
import { EMPTY, utf8 } from '../../kernel/bytes.ts';
import { CorruptRecordError, sealRecord } from '../storage/checksum.ts';
import { WHOLE_SHARD } from './machine-suite.ts';
import { decodeHeader, decodePart, encodeHeader, encodePart } from './snapshot-codec.ts';

const HEADER = { meta: WHOLE_SHARD, last: { term: 7, index: 900 }, from: 10, to: 12, term: 8 };
const PART = {
  type: 'entries',
  entries: [
    { key: utf8('a'), value: utf8('1') },
    { key: utf8('b'), value: EMPTY },
  ],
} as const;

test('header and parts come back as they were encoded, also empty values (ancestor defect 4)', () => {
  const header = decodeHeader(encodeHeader(HEADER));
  assert.deepEqual(
    { ...header, meta: { ...header.meta, start: EMPTY, end: EMPTY } },
    { ...HEADER, meta: { ...WHOLE_SHARD, start: EMPTY, end: EMPTY } },
  );
  const bytes = fc.uint8Array({ maxLength: 20 });
  fc.assert(
    fc.property(fc.array(fc.tuple(bytes, bytes), { maxLength: 20 }), (pairs) => {
      const entries = pairs.map(([key, value]) => ({ key, value }));
      const part = decodePart(encodePart({ type: 'entries', entries }));
      assert.ok(part.type === 'entries');
      assert.deepEqual(
        part.entries.map(({ key, value }) => [[...key], [...value]]),
        pairs.map(([key, value]) => [[...key], [...value]]),
      );
    }),
  );
  assert.deepEqual(decodePart(encodePart({ type: 'end', entries: 2 ** 40 })), {
    type: 'end',
    entries: 2 ** 40,
  });
});

test('lesson 23: a flipped byte or a cut of a snapshot is noticed', () => {
  for (const [bytes, decode] of [
    [encodeHeader(HEADER), decodeHeader],
    [encodePart(PART), decodePart],
    [encodePart({ type: 'end', entries: 2 }), decodePart],
  ] as const) {
    for (let at = 0; at < bytes.length; at += 1) {
      const damaged = Uint8Array.from(bytes);
      damaged[at] = (damaged[at] ?? 0) ^ 0x10;
      assert.throws(() => decode(damaged), CorruptRecordError);
      assert.throws(() => decode(bytes.subarray(0, at)), CorruptRecordError);
    }
  }
});

test('a header is no part and a part is no header', () => {
  assert.throws(() => decodePart(encodeHeader(HEADER)), CorruptRecordError);
  assert.throws(() => decodeHeader(encodePart(PART)), CorruptRecordError);
});

test('a sealed header or part that says nonsense is refused', () => {
  const chunk = utf8('snapshot chunk');
  assert.throws(() => decodePart(sealRecord(1, chunk, Uint8Array.of(9, 0, 0, 0, 0))), DecodeError);
  const tooMany = Uint8Array.of(1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0);
  assert.throws(() => decodePart(sealRecord(1, chunk, tooMany)), DecodeError);
  const header = utf8('snapshot header');
  assert.throws(() => decodeHeader(sealRecord(2, header, EMPTY)), DecodeError);
  assert.throws(() => decodeHeader(sealRecord(1, header, EMPTY)), DecodeError);
});

test('a part of a version that this program does not know is refused', () => {
  const payload = Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0, 0);
  const chunk = utf8('snapshot chunk');
  assert.equal(decodePart(sealRecord(1, chunk, payload)).type, 'end');
  assert.throws(() => decodePart(sealRecord(2, chunk, payload)), DecodeError);
});
