import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EMPTY } from '../../kernel/bytes.ts';
import type { ShardMeta } from '../shard/shard-meta.ts';
import { Heartbeats } from './heartbeats.ts';
import type { ShardReport, StoreHeartbeatRequest } from './protocol.ts';

const CONFIG = { storeDisconnectedMs: 10_000, storeDownMs: 300_000, prepareMs: 60_000 };

function shard(id: number, confVersion = 1, generation = 1): ShardMeta {
  return {
    id,
    start: EMPTY,
    end: EMPTY,
    epoch: { generation, confVersion },
    replicas: [1, 2, 3].map((storeId) => ({ replicaId: 10 + storeId, storeId, role: 'voter' })),
  };
}

function report(meta: ShardMeta, changes: Partial<ShardReport> = {}): ShardReport {
  return {
    shard: meta,
    term: 5,
    leaderReplicaId: 11,
    health: [],
    sizeBytes: 1,
    keys: 1,
    ...changes,
  };
}

function heartbeat(changes: Partial<StoreHeartbeatRequest> = {}): StoreHeartbeatRequest {
  return {
    storeId: 1,
    incarnation: 1,
    nonce: EMPTY,
    capacityBytes: 0,
    freeBytes: 0,
    sizeBytes: 0,
    shards: 1,
    leaders: 1,
    snapshotsSending: 0,
    snapshotsReceiving: 0,
    reports: [],
    isComplete: false,
    ...changes,
  };
}

function heartbeatsOf(...shards: readonly ShardMeta[]): Heartbeats {
  const known = new Map(shards.map((meta) => [meta.id, meta]));
  return new Heartbeats({ startedAt: 0, shards: known, config: CONFIG });
}

test('a report of an older term or epoch is dropped', () => {
  const heartbeats = heartbeatsOf(shard(1, 3));
  assert.equal(heartbeats.takeReport(1, report(shard(1, 2))), false);
  assert.equal(heartbeats.takeReport(1, report(shard(1, 3))), true);
  assert.equal(heartbeats.takeReport(1, report(shard(1, 3), { term: 4 })), false);
  assert.equal(heartbeats.takeReport(1, report(shard(1, 4), { term: 6 })), true);
  assert.equal(heartbeats.takeReport(1, report(shard(1, 3), { term: 7 })), false);
  assert.equal(heartbeats.meta(1)?.epoch.confVersion, 4);
});

test('a report is taken only from the store of its leader, and only when it makes sense', () => {
  const heartbeats = heartbeatsOf();
  assert.equal(heartbeats.takeReport(2, report(shard(1))), false);
  assert.equal(heartbeats.takeReport(1, report(shard(1), { leaderReplicaId: 99 })), false);
  assert.equal(heartbeats.takeReport(1, report({ ...shard(1), replicas: [] })), false);
});

test('a new leader gives every store the full time before it calls it down', () => {
  const heartbeats = heartbeatsOf();
  assert.equal(heartbeats.liveness(1, 9_999), 'up');
  assert.equal(heartbeats.liveness(1, 10_000), 'disconnected');
  assert.equal(heartbeats.liveness(1, 300_000), 'down');
  heartbeats.takeStore(heartbeat(), 300_001);
  assert.equal(heartbeats.liveness(1, 300_001), 'up');
});

test('an older process of a store is fenced by a newer one', () => {
  const heartbeats = heartbeatsOf();
  assert.equal(heartbeats.takeStore(heartbeat({ incarnation: 2 }), 1), true);
  assert.equal(heartbeats.takeStore(heartbeat({ incarnation: 1 }), 2), false);
  assert.equal(heartbeats.silentMs(1, 3), 2);
});

test('a complete heartbeat takes the lead away from shards that it leaves out', () => {
  const heartbeats = heartbeatsOf();
  heartbeats.takeReport(1, report(shard(1)));
  heartbeats.takeStore(heartbeat({ isComplete: false }), 1);
  assert.equal(heartbeats.status(1)?.leader?.storeId, 1);
  heartbeats.takeStore(heartbeat({ isComplete: true }), 2);
  assert.equal(heartbeats.status(1)?.leader, undefined);
});

test('lesson 21: nothing is prepared before 80 % of the shards reported, or the time is over', () => {
  const shards = [1, 2, 3, 4, 5].map((id) => shard(id));
  const heartbeats = heartbeatsOf(...shards);
  for (const id of [1, 2, 3]) heartbeats.takeReport(1, report(shard(id)));
  assert.equal(heartbeats.isPrepared(0), false);
  heartbeats.takeReport(1, report(shard(4)));
  assert.equal(heartbeats.isPrepared(0), true);
  assert.equal(heartbeats.isComplete(), false);
  assert.equal(heartbeatsOf(...shards).isPrepared(59_999), false);
  assert.equal(heartbeatsOf(...shards).isPrepared(60_000), true);
});
