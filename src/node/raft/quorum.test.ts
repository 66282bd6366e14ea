import assert from 'node:assert/strict';
import { test } from 'node:test';
import { majority, reachedByMajority, tally } from './quorum.ts';

test('a majority is more than half', () => {
  assert.deepEqual([1, 2, 3, 4, 5].map(majority), [1, 2, 2, 3, 3]);
});

test('an election is won, lost or pending by the voters alone', () => {
  const voters = [1, 2, 3, 4];
  const votes = (granted: number[], refused: number[]): Map<number, boolean> =>
    new Map([
      ...granted.map((id) => [id, true] as const),
      ...refused.map((id) => [id, false] as const),
    ]);
  const cases = [
    { granted: [1, 2], refused: [], result: 'pending' },
    { granted: [1, 2, 3], refused: [4], result: 'won' },
    { granted: [1, 2], refused: [3], result: 'pending' },
    { granted: [1, 2], refused: [3, 4], result: 'lost' },
    // Strangers and learners do not count.
    { granted: [1, 2, 9], refused: [], result: 'pending' },
    { granted: [1], refused: [8, 9], result: 'pending' },
  ];
  for (const { granted, refused, result } of cases) {
    assert.equal(tally(voters, votes(granted, refused)), result);
  }
});

test('nobody wins an election without voters', () => {
  assert.equal(tally([], new Map([[1, true]])), 'lost');
});

test('a majority has reached the middle number', () => {
  const stored = new Map([
    [1, 7],
    [2, 3],
    [3, 5],
    [4, 12],
  ]);
  const reached = (voters: number[]): number =>
    reachedByMajority(voters, (id) => stored.get(id) ?? 0);
  assert.equal(reached([]), 0);
  assert.equal(reached([1]), 7);
  assert.equal(reached([1, 2]), 3);
  assert.equal(reached([1, 2, 3]), 5);
  assert.equal(reached([1, 2, 3, 4]), 5);
  assert.equal(reached([4, 2, 1]), 7);
});

test('numbers are compared as numbers, not as text', () => {
  assert.equal(
    reachedByMajority([1, 2, 3], (id) => [0, 9, 10, 100][id] ?? 0),
    10,
  );
});
