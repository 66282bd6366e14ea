import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EMPTY, utf8 } from '../../kernel/bytes.ts';
import { CorruptRecordError, checksum, openRecord, sealRecord } from './checksum.ts';

const KEY = Uint8Array.of(0x10, 0x00, 0xff);

test('checksum() gives the published check value of CRC-32', () => {
  assert.equal(checksum(utf8('123456789')), 0xcbf43926);
  assert.equal(checksum(EMPTY), 0);
});

test('openRecord() gives back version and payload of sealRecord()', () => {
  for (const payload of [EMPTY, utf8('a'), Uint8Array.of(0, 0xff, 0)]) {
    const opened = openRecord(KEY, sealRecord(7, KEY, payload));
    assert.equal(opened.version, 7);
    assert.deepEqual([...opened.payload], [...payload]);
  }
});

test('sealRecord() copies the payload', () => {
  const payload = utf8('payload');
  const record = sealRecord(1, KEY, payload);
  payload.fill(0);
  assert.equal(Buffer.from(openRecord(KEY, record).payload).toString(), 'payload');
});

test('openRecord() finds every single flipped bit, in checksum, version and payload', () => {
  const record = sealRecord(1, KEY, utf8('payload'));
  for (let bit = 0; bit < record.length * 8; bit += 1) {
    const damaged = Uint8Array.from(record);
    const at = bit >> 3;
    damaged[at] = (damaged[at] ?? 0) ^ (1 << (bit & 7));
    assert.throws(() => openRecord(KEY, damaged), CorruptRecordError, `bit ${bit}`);
  }
});

test('openRecord() refuses a record that was written under another key', () => {
  const record = sealRecord(1, KEY, utf8('payload'));
  assert.throws(
    () => openRecord(Uint8Array.of(0x10, 0x00, 0xfe), record),
    (error) => error instanceof CorruptRecordError && error.keyHex === '1000fe',
  );
});

test('openRecord() refuses what is cut off or too short to be a record', () => {
  const record = sealRecord(1, KEY, utf8('payload'));
  for (let length = 0; length < record.length; length += 1) {
    assert.throws(() => openRecord(KEY, record.subarray(0, length)), CorruptRecordError);
  }
});
