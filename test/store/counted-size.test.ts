// Ancestor defect 9: a size that is counted wrong must not make a storm of splits.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SplitCommand } from '../../src/node/shard/commands.ts';
import { StoreCluster } from './store-cluster.ts';

const CAPACITY = 1024;

test('a shard that is counted too large is not cut to pieces, and still splits when it is large', async () => {
  const cluster = new StoreCluster({ shardCapacityBytes: CAPACITY });
  for (const storeId of [1, 2, 3]) await cluster.add(storeId);
  await cluster.bootstrap([1, 2, 3]);
  for (let n = 0; n < 8; n += 1) await cluster.put(`a${n}`, 'x'.repeat(118));
  const { node } = await cluster.leaderOf(1);
  const replica = node.store.replica(1);
  assert.ok(replica);
  // As if all eight keys had been written while the leader measured: they stay counted at the right.
  const part = { end: Buffer.from('m'), shardId: 500, replicaIds: [501, 502, 503] };
  const command: SplitCommand = {
    type: 'split',
    epoch: replica.meta.epoch,
    parts: [{ ...part, sizeBytes: 0, keys: 0 }],
  };
  const deadline = node.clock.now() + 10_000;
  const split = new Promise<Uint8Array>((resolve, reject) => {
    replica.proposeSplit(command, { deadline, resolve, reject });
    node.store.wake(replica);
  });
  await cluster.settle(split);
  const shards = (): number => node.store.shards().length;
  await cluster.until(() => shards() === 2, 'the split is done');
  for (let n = 10; n < 20; n += 1) {
    await cluster.put(`z${n}`, 'y'.repeat(47));
    await cluster.run(200);
  }
  assert.equal(shards(), 2, '500 bytes are no reason to split');
  for (let n = 20; n < 34; n += 1) {
    await cluster.put(`z${n}`, 'y'.repeat(47));
    await cluster.run(200);
  }
  assert.equal(shards(), 3, 'more than the capacity is');
  assert.deepEqual(cluster.failures, []);
});

test('a shard that grows by overwriting alone is split as well', async () => {
  const cluster = new StoreCluster({ shardCapacityBytes: CAPACITY });
  for (const storeId of [1, 2, 3]) await cluster.add(storeId);
  await cluster.bootstrap([1, 2, 3]);
  const { node } = await cluster.leaderOf(1);
  for (let size = 1; size < 120; size += 1) {
    const writes = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j'].map((key) => {
      const shard = node.store.shardAt(Buffer.from(key));
      assert.ok(shard);
      const command = cluster.command(key, 'x'.repeat(size), shard.meta.epoch.generation);
      const request = { shardId: shard.meta.id, command };
      return node.store.write(request, node.clock.now() + 10_000).catch(() => undefined);
    });
    await cluster.settle(Promise.all(writes));
    await cluster.run(60);
  }
  assert.ok(node.store.shards().length >= 2, `${node.store.shards().length} shards`);
});

test('a write that is counted but not on disk yet does not keep its shard from splitting', async () => {
  const cluster = new StoreCluster({ shardCapacityBytes: CAPACITY });
  for (const storeId of [1, 2, 3]) await cluster.add(storeId);
  await cluster.bootstrap([1, 2, 3]);
  await cluster.put('k1', 'small');
  await cluster.run(500);
  const { node } = await cluster.leaderOf(1);
  // Of the writes that the next put causes at the leader, the second holds the application.
  const hanging = node.disk.writes + 2;
  cluster.fate = ({ storeId, number }) =>
    storeId === node.storeId && number === hanging ? 'hang' : 'done';
  await cluster.put('large', 'x'.repeat(1500));
  await cluster.until(() => node.disk.isHanging, 'the application is on its way to the disk');
  await cluster.run(200);
  node.disk.release();
  await cluster.until(() => node.store.shards().length === 2, 'the shard is split');
  assert.deepEqual(cluster.failures, []);
});
