import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MatrixError } from './errors.ts';
import { nodeExitCodeOf } from './node-exit-codes.ts';

test('only a store that was removed for good has an exit code of its own', () => {
  assert.equal(nodeExitCodeOf(new MatrixError('STORE_REMOVED', 'Store 4 was removed')), 3);
  assert.equal(nodeExitCodeOf(new MatrixError('STORE_MISMATCH', 'Another disk')), 1);
  assert.equal(nodeExitCodeOf(new Error('STORE_REMOVED')), 1);
  assert.equal(nodeExitCodeOf(undefined), 1);
});
