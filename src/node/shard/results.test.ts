import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AssertionError } from '../../kernel/assert.ts';
import { clientId } from './machine-suite.ts';
import { type CommandResult, decodeResult, encodeResult } from './results.ts';

test('decodeResult() gives back every result that was encoded', () => {
  const results: CommandResult[] = [
    { type: 'written', applied: true, existed: false, version: 1 },
    { type: 'written', applied: false, existed: true, version: Number.MAX_SAFE_INTEGER },
    { type: 'epoch-not-match' },
    { type: 'session-expired', floor: clientId(7) },
    { type: 'stale-duplicate' },
    { type: 'session-full' },
    { type: 'bad-command' },
    { type: 'split-done' },
  ];
  const kinds = results.map((result) => {
    assert.deepEqual(decodeResult(encodeResult(result)), result);
    return encodeResult(result)[0];
  });
  // The numbers lie in the sessions on disk: a new kind goes to the end of the list.
  assert.deepEqual(kinds, [0, 0, 1, 2, 3, 4, 5, 6]);
});

test('encodeResult() keeps the four outcomes of a write apart', () => {
  fc.assert(
    fc.property(fc.boolean(), fc.boolean(), fc.maxSafeNat(), (applied, existed, version) => {
      const result = { type: 'written', applied, existed, version } as const;
      assert.deepEqual(decodeResult(encodeResult(result)), result);
    }),
  );
});

test('decodeResult() takes an unknown kind for a bug', () => {
  assert.throws(() => decodeResult(Uint8Array.of(7)), AssertionError);
});
