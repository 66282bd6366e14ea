import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MatrixError } from '../../kernel/errors.ts';
import { Admission } from './admission.ts';

const isOverloaded = (error: unknown): boolean =>
  error instanceof MatrixError &&
  error.code === 'OVERLOADED' &&
  error.outcome === 'not-applied' &&
  error.retryAfterMs === 1000;

test('enter() refuses beyond the bound of requests until one has left', () => {
  const admission = new Admission({ requestsInFlightMax: 2, bodyBytesInFlightMax: 100 });
  const first = admission.enter(0);
  admission.enter(0);
  assert.throws(() => admission.enter(0), isOverloaded);
  first.letGo();
  assert.equal(admission.requestsInFlight, 1);
  admission.enter(0);
  assert.throws(() => admission.enter(0), isOverloaded);
});

test('enter() refuses beyond the bound of bytes, and a refusal takes no room', () => {
  const admission = new Admission({ requestsInFlightMax: 10, bodyBytesInFlightMax: 100 });
  const first = admission.enter(60);
  assert.throws(() => admission.enter(41), isOverloaded);
  const second = admission.enter(40);
  assert.throws(() => admission.enter(1), isOverloaded);
  first.letGo();
  second.letGo();
  admission.enter(100);
});

test('a ticket gives its room back only when the last holder lets go', () => {
  const admission = new Admission({ requestsInFlightMax: 1, bodyBytesInFlightMax: 100 });
  const ticket = admission.enter(1);
  ticket.hold();
  ticket.letGo();
  assert.equal(admission.requestsInFlight, 1);
  ticket.letGo();
  assert.equal(admission.requestsInFlight, 0);
  assert.throws(() => ticket.letGo(), { name: 'AssertionError' });
});
