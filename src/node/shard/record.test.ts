import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EMPTY, utf8 } from '../../kernel/bytes.ts';
import { CorruptRecordError } from '../storage/checksum.ts';
import { decodeValue, encodeValue } from './record.ts';

const KEY = utf8('key');

test('decodeValue() gives back value and version, also of an empty value (ancestor defect 4)', () => {
  for (const value of [utf8('value'), EMPTY, Uint8Array.of(0, 0xff)]) {
    const stored = decodeValue(KEY, encodeValue(KEY, { version: 2 ** 40, value }));
    assert.equal(stored.version, 2 ** 40);
    assert.deepEqual(Uint8Array.from(stored.value), Uint8Array.from(value));
  }
});

test('lesson 23: decodeValue() notices each flipped byte and a record under another key', () => {
  const record = encodeValue(KEY, { version: 3, value: utf8('value') });
  for (let at = 0; at < record.length; at += 1) {
    const damaged = Uint8Array.from(record);
    damaged[at] = (damaged[at] ?? 0) ^ 1;
    assert.throws(() => decodeValue(KEY, damaged), CorruptRecordError);
  }
  assert.throws(() => decodeValue(utf8('kez'), record), CorruptRecordError);
  assert.throws(() => decodeValue(KEY, EMPTY), CorruptRecordError);
});
