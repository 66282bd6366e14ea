// Many shards share one disk and one loop: none of them may keep the others waiting.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StoreCluster } from './store-cluster.ts';

const KIB = 1024;

async function twoShards(): Promise<StoreCluster> {
  const cluster = new StoreCluster();
  const { store } = await cluster.add(1);
  await cluster.bootstrap([1]);
  const { shard } = await cluster.leaderOf(1);
  const { epoch } = shard.meta;
  store.takeStep({ type: 'split', shardId: 1, epoch, keys: [Buffer.from('k')] });
  await cluster.until(() => store.shards().length === 2, 'two shards');
  await cluster.put('a', 'v');
  await cluster.put('z', 'v');
  return cluster;
}

test('a shard with much to apply does not keep another one waiting', async () => {
  const cluster = await twoShards();
  const node = cluster.nodes.get(1);
  assert.ok(node);
  const [small, large] = node.store.shards();
  assert.ok(small && large);
  const deadline = node.clock.now() + 60_000;
  const { id, epoch } = large.meta;
  let applied = 0;
  const writes = Array.from({ length: 900 }, (_, n) => {
    const command = cluster.command(`z${n}`, 'x'.repeat(30 * KIB), epoch.generation);
    const count = (): void => {
      applied += 1;
    };
    return node.store.write({ shardId: id, command }, deadline).then(count);
  });
  // Once the large one has begun to apply what it was given.
  await cluster.until(() => applied > 0, 'something is applied');
  const before = node.disk.writes;
  await cluster.put('a', 'now');
  assert.ok(node.disk.writes - before <= 4, `${node.disk.writes - before} turns`);
  assert.ok(applied < 900, `${applied} of 900 were applied`);
  await cluster.settle(Promise.all(writes));
});

test('a removed replica of many keys is destroyed while the other shards go on', async () => {
  const cluster = await twoShards();
  const node = cluster.nodes.get(1);
  const large = node?.store.shards()[1];
  assert.ok(node && large);
  for (let round = 0; round < 12; round += 1) {
    await cluster.fill(
      Array.from({ length: 1000 }, (_, n) => `z${round}-${n}`),
      'v',
    );
  }
  const { meta } = large;
  const proof = { ...meta, replicas: [], epoch: { ...meta.epoch, confVersion: 99 } };
  node.store.acceptProof(proof);
  const before = node.disk.writes;
  await cluster.put('a', 'now');
  assert.ok(node.disk.writes - before <= 4, `${node.disk.writes - before} turns`);
  assert.notEqual(await cluster.stateOf(1, meta), '');
  await cluster.run(1000);
  assert.equal(await cluster.stateOf(1, meta), '');
  assert.equal(await cluster.get('a'), 'now');
});

test('lesson 21: without Prophet a shard that is too large is served, and split when Prophet is back', async () => {
  const cluster = new StoreCluster({ shardCapacityBytes: 10 * KIB });
  const { store } = await cluster.add(1);
  await cluster.bootstrap([1]);
  const { allocateIds } = cluster;
  let asked = 0;
  cluster.allocateIds = () => {
    asked += 1;
    return Promise.reject(new Error('Prophet is away'));
  };
  for (let n = 0; n < 20; n += 1) await cluster.put(`k${n}`, 'x'.repeat(KIB));
  await cluster.run(10_000);
  assert.ok(asked >= 5 && asked <= 12, `Prophet was asked ${asked} times`);
  assert.equal(store.shards().length, 1);
  assert.equal(await cluster.get('k7'), 'x'.repeat(KIB));
  cluster.allocateIds = allocateIds;
  await cluster.until(() => store.shards().length > 1, 'it is split');
  assert.equal(await cluster.get('k7'), 'x'.repeat(KIB));
});
