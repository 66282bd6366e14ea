import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AssertionError } from '../../kernel/assert.ts';
import { DecodeError } from '../../kernel/byte-codec.ts';
import { compareBytes, EMPTY, rangeContains, rangesOverlap, toHex } from '../../kernel/bytes.ts';
import * as keys from './keys.ts';

const NUMBERS = [0, 1, 255, 256, 65_535, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 2 ** 53 - 1];
const CLIENT = Uint8Array.from({ length: 16 }, (_, at) => 0xf0 + at);
const HIGHEST_CLIENT = new Uint8Array(16).fill(0xff);

test('the layout on disk never changes: every key, byte by byte', () => {
  const shard = '0000000000000005';
  const table: readonly (readonly [Uint8Array, string])[] = [
    [keys.identKey(), '016964656e74'],
    [keys.logKey(5, 2 ** 32 + 7), `02${shard}010000000100000007`],
    [keys.hardStateKey(5), `02${shard}02`],
    [keys.applyStateKey(5), `02${shard}03`],
    [keys.sessionKey(5, CLIENT), `02${shard}05${toHex(CLIENT)}`],
    [keys.machineStateKey(5), `02${shard}06`],
    [keys.metaKey(5), `03${shard}`],
    [keys.destroyKey(5), `04${shard}`],
    [keys.stagingHeaderKey(5), `05${shard}`],
    [keys.stagingKey(5, 258), `05${shard}00000102`],
    [keys.dataKey(Uint8Array.of(0, 0xff)), '1000ff'],
    [keys.dataKey(EMPTY), '10'],
    [keys.prophetKey(9), '2009'],
    [keys.prophetKey(9, 1, 5), '200900000000000000010000000000000005'],
  ];
  for (const [key, expected] of table) assert.equal(toHex(key), expected);
});

test('keys with numbers sort as the numbers do', () => {
  const makers = [
    (number: number) => keys.logKey(1, number),
    keys.hardStateKey,
    keys.metaKey,
    keys.destroyKey,
    keys.stagingHeaderKey,
    (number: number) => keys.prophetKey(1, 2, number),
  ];
  for (const make of makers) {
    for (let at = 1; at < NUMBERS.length; at += 1) {
      const [low, high] = [NUMBERS[at - 1] ?? 0, NUMBERS[at] ?? 0];
      assert.ok(compareBytes(make(low), make(high)) < 0, `${low} sorts before ${high}`);
    }
  }
});

test('the parsers read back every number that fits a key', () => {
  for (const number of NUMBERS) {
    assert.equal(keys.indexOfLogKey(keys.logKey(3, number)), number);
    assert.equal(keys.shardIdOfMetaKey(keys.metaKey(number)), number);
    assert.equal(keys.sequenceOfDestroyKey(keys.destroyKey(number)), number);
  }
  assert.deepEqual([...keys.userKeyOf(keys.dataKey(CLIENT))], [...CLIENT]);
  assert.deepEqual([...keys.userKeyOf(keys.dataKey(EMPTY))], []);
});

test('the parsers refuse keys of another kind', () => {
  assert.throws(() => keys.indexOfLogKey(keys.hardStateKey(3)), DecodeError);
  assert.throws(() => keys.indexOfLogKey(keys.sessionKey(3, CLIENT).subarray(0, 18)), DecodeError);
  assert.throws(() => keys.shardIdOfMetaKey(keys.destroyKey(3)), DecodeError);
  assert.throws(() => keys.shardIdOfMetaKey(keys.stagingKey(3, 1)), DecodeError);
  assert.throws(() => keys.sequenceOfDestroyKey(keys.metaKey(3)), DecodeError);
  assert.throws(() => keys.shardIdOfMetaKey(Buffer.from('03ffffffffffffffff', 'hex')), DecodeError);
  assert.throws(() => keys.userKeyOf(keys.metaKey(3)), AssertionError);
});

test('numbers and ids that do not fit a key are refused', () => {
  for (const number of [-1, 1.5, 2 ** 53, Number.NaN]) {
    assert.throws(() => keys.metaKey(number), AssertionError);
  }
  assert.throws(() => keys.stagingKey(1, 2 ** 32), AssertionError);
  assert.throws(() => keys.sessionKey(1, EMPTY), AssertionError);
});

test('logRange() holds exactly the asked entries of its own shard', () => {
  const range = keys.logRange(2, 5, 300);
  for (const index of [5, 256, 299]) assert.ok(rangeContains(range, keys.logKey(2, index)));
  for (const index of [0, 4, 300]) assert.ok(!rangeContains(range, keys.logKey(2, index)));
  assert.ok(!rangeContains(range, keys.logKey(1, 5)));
  assert.ok(!rangeContains(keys.logRange(2, 0, 2 ** 53 - 1), keys.hardStateKey(2)));
});

test('machineRange() holds sessions and machine state and leaves out Raft state', () => {
  const range = keys.machineRange(2);
  assert.ok(rangeContains(range, keys.sessionKey(2, new Uint8Array(16))));
  assert.ok(rangeContains(range, keys.sessionKey(2, HIGHEST_CLIENT)));
  assert.ok(rangeContains(range, keys.machineStateKey(2)));
  for (const outside of [
    keys.logKey(2, 2 ** 53 - 1),
    keys.hardStateKey(2),
    keys.applyStateKey(2),
    keys.logKey(3, 0),
    keys.machineStateKey(1),
    keys.machineStateKey(3),
  ]) {
    assert.ok(!rangeContains(range, outside), toHex(outside));
  }
});

test('sessionRange() holds the sessions alone', () => {
  const range = keys.sessionRange(2);
  assert.ok(rangeContains(range, keys.sessionKey(2, new Uint8Array(16))));
  assert.ok(rangeContains(range, keys.sessionKey(2, HIGHEST_CLIENT)));
  assert.ok(!rangeContains(range, keys.machineStateKey(2)));
  assert.ok(!rangeContains(range, keys.applyStateKey(2)));
});

test('stagingRange() holds the header and all chunks of one shard', () => {
  const range = keys.stagingRange(255);
  assert.ok(rangeContains(range, keys.stagingHeaderKey(255)));
  assert.ok(rangeContains(range, keys.stagingKey(255, 0)));
  assert.ok(rangeContains(range, keys.stagingKey(255, 2 ** 32 - 1)));
  assert.ok(!rangeContains(range, keys.stagingHeaderKey(254)));
  assert.ok(!rangeContains(range, keys.stagingKey(254, 2 ** 32 - 1)));
  assert.ok(!rangeContains(range, keys.stagingHeaderKey(256)));
  assert.ok(compareBytes(keys.stagingHeaderKey(255), keys.stagingKey(255, 0)) < 0);
});

test('dataRange() keeps the bounds of user keys and no end means the last user key', () => {
  const all = keys.dataRange({ start: EMPTY, end: EMPTY });
  assert.ok(rangeContains(all, keys.dataKey(EMPTY)));
  assert.ok(rangeContains(all, keys.dataKey(HIGHEST_CLIENT)));
  assert.ok(!rangeContains(all, keys.prophetKey(0)));
  const some = keys.dataRange({ start: Uint8Array.of(1), end: Uint8Array.of(2) });
  assert.ok(rangeContains(some, keys.dataKey(Uint8Array.of(1))));
  assert.ok(rangeContains(some, keys.dataKey(Uint8Array.of(1, 0xff, 0xff))));
  assert.ok(!rangeContains(some, keys.dataKey(Uint8Array.of(2))));
  assert.ok(!rangeContains(some, keys.dataKey(EMPTY)));
});

test('the ranges of different kinds do not overlap', () => {
  const ranges = [
    keys.logRange(1, 0, 2 ** 53 - 1),
    keys.machineRange(1),
    keys.logRange(2, 0, 2 ** 53 - 1),
    keys.machineRange(2),
    keys.metasRange(),
    keys.destroysRange(),
    keys.stagingRange(1),
    keys.stagingRange(2),
    keys.dataRange({ start: EMPTY, end: EMPTY }),
    keys.prophetRange(),
  ];
  for (const [at, range] of ranges.entries()) {
    assert.ok(compareBytes(range.start, range.end) < 0);
    for (const other of ranges.slice(at + 1)) assert.ok(!rangesOverlap(range, other));
  }
  assert.ok(rangeContains(keys.metasRange(), keys.metaKey(2 ** 53 - 1)));
  assert.ok(rangeContains(keys.destroysRange(), keys.destroyKey(2 ** 53 - 1)));
  assert.ok(rangeContains(keys.prophetRange(), keys.prophetKey(255, 2 ** 53 - 1)));
});
