import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EMPTY, type KeyRange, utf8 } from '../../kernel/bytes.ts';
import { PROPHET_SHARD } from '../../kernel/ids.ts';
import { type ClaimKind, ReplicaHost } from './replica-host.ts';

function range(start: string, end: string): KeyRange {
  return { start: utf8(start), end: utf8(end) };
}

const ALL: KeyRange = { start: EMPTY, end: EMPTY };

test('a claim keeps every overlapping range of other shards away, and no other range', () => {
  for (const kind of ['opening', 'snapshot', 'destroy', 'quarantine'] satisfies ClaimKind[]) {
    const host = new ReplicaHost();
    host.claim(1, kind, range('f', 'm'));
    for (const other of [range('a', 'g'), range('l', 'z'), range('g', 'h'), ALL]) {
      assert.match(host.conflict(2, other) ?? '', /shard 1/, kind);
    }
    for (const other of [range('a', 'f'), range('m', '')]) {
      assert.equal(host.conflict(2, other), undefined, kind);
    }
  }
});

test('a shard is kept away by its own claims, but for a snapshot that is for itself', () => {
  const host = new ReplicaHost();
  for (const kind of ['opening', 'destroy', 'quarantine'] as const) {
    host.claim(1, kind, range('f', 'm'));
    // Also where the ranges have nothing in common any more.
    assert.notEqual(host.conflict(1, range('x', 'z')), undefined, kind);
  }
  host.claim(1, 'snapshot', range('f', 'm'));
  assert.equal(host.conflict(1, range('f', 'm')), undefined);
});

test('release() ends a claim of its own kind only: another kind may have taken over', () => {
  const host = new ReplicaHost();
  host.claim(1, 'snapshot', range('f', 'm'));
  host.claim(1, 'destroy', range('f', 'm'));
  host.release(1, 'snapshot');
  assert.equal(host.claimOf(1), 'destroy');
  host.release(1, 'destroy');
  assert.equal(host.claimOf(1), undefined);
});

test("Prophet's group and user shards take nothing from each other", () => {
  const host = new ReplicaHost();
  host.claim(PROPHET_SHARD, 'opening', ALL);
  assert.equal(host.conflict(1, ALL), undefined);
  assert.notEqual(host.conflict(PROPHET_SHARD, ALL), undefined);
  host.release(PROPHET_SHARD, 'opening');
  host.claim(1, 'quarantine', ALL);
  assert.equal(host.conflict(PROPHET_SHARD, ALL), undefined);
});
