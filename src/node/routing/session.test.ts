import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Scheduler } from '../../../test/sim/scheduler.ts';
import { SimulatedClock } from '../../../test/sim/simulated-clock.ts';
import { compareBytes, equalBytes } from '../../kernel/bytes.ts';
import { MatrixError } from '../../kernel/errors.ts';
import { SeededRandom } from '../../kernel/random.ts';
import { GatewaySession } from './session.ts';

function openSession(limits: { outstandingMax?: number; spanMax?: number } = {}): GatewaySession {
  const clock = new SimulatedClock({ scheduler: new Scheduler() });
  return new GatewaySession({
    clock,
    random: new SeededRandom(7),
    outstandingMax: 4,
    spanMax: 100,
    ...limits,
  });
}

describe('GatewaySession', () => {
  test('every write has its own sequence under one client id', () => {
    const session = openSession();
    const [first, second] = [session.begin().stamp, session.begin().stamp];
    assert.equal(first.clientId.length, 16);
    assert.deepEqual(first.clientId, second.clientId);
    assert.deepEqual([first.sequence, second.sequence], [1, 2]);
  });

  test('lesson 4: nothing at or above the oldest open write is called acknowledged', () => {
    const session = openSession();
    const slow = session.begin();
    session.begin().end();
    assert.equal(session.begin().stamp.acknowledgedBelow, slow.stamp.sequence);
    slow.end();
    assert.equal(session.begin().stamp.acknowledgedBelow, 3);
  });

  test('more open writes than the bound are refused, and ending one admits the next', () => {
    const session = openSession();
    const open = Array.from({ length: 4 }, () => session.begin());
    assert.throws(
      () => session.begin(),
      (error) => error instanceof MatrixError && error.code === 'OVERLOADED',
    );
    open[0]?.end();
    open[0]?.end();
    assert.equal(session.outstanding, 3);
    session.begin();
    assert.equal(session.outstanding, 4);
  });

  test('an expired session is replaced by one later than the floor, even from a fast clock', () => {
    const session = openSession();
    const { clientId } = session.begin().stamp;
    const floor = new Uint8Array(16).fill(0xff);
    floor.set([0x7f, 0xff, 0xff, 0xff, 0xff, 0x00]);
    session.expire(clientId, floor);
    const renewed = session.begin().stamp;
    assert.ok(compareBytes(renewed.clientId, floor) > 0);
    assert.equal(renewed.sequence, 1);
    assert.equal(renewed.acknowledgedBelow, 1);
  });

  test('the second of two writes that learn of the same expiry changes nothing', () => {
    const session = openSession();
    const { clientId } = session.begin().stamp;
    session.expire(clientId, clientId);
    const renewed = session.begin().stamp.clientId;
    session.expire(clientId, clientId);
    assert.ok(equalBytes(session.begin().stamp.clientId, renewed));
  });

  test('a floor at the end of time or without meaning still gives a usable session', () => {
    const session = openSession();
    for (const floor of [new Uint8Array(16).fill(0xff), Uint8Array.of(1)]) {
      session.expire(session.begin().stamp.clientId, floor);
    }
    assert.equal(session.begin().stamp.clientId.length, 16);
  });

  test('one stuck write does not keep shards from forgetting: a new session is begun', () => {
    const session = openSession({ outstandingMax: 10, spanMax: 5 });
    const stuck = session.begin();
    for (let write = 0; write < 4; write += 1) session.begin().end();
    const next = session.begin();
    assert.ok(compareBytes(next.stamp.clientId, stuck.stamp.clientId) > 0);
    assert.equal(next.stamp.acknowledgedBelow, 1);
    assert.equal(session.outstanding, 2);
  });
});
