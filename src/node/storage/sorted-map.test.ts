import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EMPTY, toHex } from '../../kernel/bytes.ts';
import { SeededRandom } from '../../kernel/random.ts';
import { SortedMap } from './sorted-map.ts';

function keyOf(number: number): Uint8Array {
  const key = Buffer.alloc(4);
  key.writeUInt32BE(number);
  return key;
}

function numbersIn(entries: Iterable<{ readonly key: Uint8Array }>): number[] {
  return [...entries].map(({ key }) => Buffer.from(key).readUInt32BE());
}

function filled(numbers: Iterable<number>): SortedMap {
  const map = new SortedMap();
  for (const number of numbers) map.set(keyOf(number), keyOf(number));
  return map;
}

/** The numbers below `count`, shuffled by a seed. */
function shuffled(count: number): number[] {
  const random = new SeededRandom(3);
  const numbers = Array.from({ length: count }, (_, number) => number);
  for (let at = count - 1; at > 0; at -= 1) {
    const other = random.below(at + 1);
    const [a, b] = [numbers[at] ?? 0, numbers[other] ?? 0];
    numbers[at] = b;
    numbers[other] = a;
  }
  return numbers;
}

const COUNT = 5000;
const ASCENDING = Array.from({ length: COUNT }, (_, number) => number);

test('entries come out sorted, however they went in', () => {
  for (const numbers of [ASCENDING, ASCENDING.toReversed(), shuffled(COUNT)]) {
    const map = filled(numbers);
    assert.deepEqual(numbersIn(map.from(EMPTY)), ASCENDING);
    assert.deepEqual(numbersIn(map.before(undefined)), ASCENDING.toReversed());
    assert.equal(map.bytes, COUNT * 8);
  }
});

test('from() and before() begin at every possible key, present or not', () => {
  const even = shuffled(600).map((number) => number * 2);
  const map = filled(even);
  const sorted = even.toSorted((a, b) => a - b);
  for (let start = 0; start <= 1200; start += 1) {
    const [next] = map.from(keyOf(start));
    assert.deepEqual(numbersIn(next ? [next] : []), sorted.filter((n) => n >= start).slice(0, 1));
    const [previous] = map.before(keyOf(start));
    assert.deepEqual(
      numbersIn(previous ? [previous] : []),
      sorted.filter((n) => n < start).slice(-1),
    );
  }
});

test('delete() takes out what is there, to the last entry, and the map can be filled again', () => {
  const map = filled(shuffled(COUNT));
  for (const number of shuffled(COUNT)) {
    map.delete(keyOf(number));
    map.delete(keyOf(number));
    assert.equal(map.get(keyOf(number)), undefined);
  }
  assert.deepEqual(numbersIn(map.from(EMPTY)), []);
  assert.deepEqual(numbersIn(map.before(undefined)), []);
  assert.deepEqual(numbersIn(map.before(keyOf(1))), []);
  assert.equal(map.bytes, 0);
  map.set(keyOf(1), EMPTY);
  assert.deepEqual(numbersIn(map.from(EMPTY)), [1]);
});

test('set() replaces the value of a key that is there', () => {
  const map = filled([1, 2, 3]);
  map.set(keyOf(2), Uint8Array.of(0xaa));
  assert.equal(toHex(map.get(keyOf(2)) ?? EMPTY), 'aa');
  assert.deepEqual(numbersIn(map.from(EMPTY)), [1, 2, 3]);
  assert.equal(map.bytes, 3 * 8 - 3);
});

test('a copy and its original change without seeing each other', () => {
  const original = filled(ASCENDING);
  const copy = original.copy();
  const second = copy.copy();
  for (const number of ASCENDING) {
    if (number % 2 === 0) original.delete(keyOf(number));
    else copy.delete(keyOf(number));
    if (number % 5 === 0) second.set(keyOf(number), EMPTY);
  }
  assert.deepEqual(
    numbersIn(original.from(EMPTY)),
    ASCENDING.filter((n) => n % 2 === 1),
  );
  assert.deepEqual(
    numbersIn(copy.from(EMPTY)),
    ASCENDING.filter((n) => n % 2 === 0),
  );
  assert.deepEqual(numbersIn(second.from(EMPTY)), ASCENDING);
  for (const number of ASCENDING) {
    assert.equal(second.get(keyOf(number))?.length, number % 5 === 0 ? 0 : 4);
    assert.equal(original.get(keyOf(number))?.length, number % 2 === 0 ? undefined : 4);
  }
});
