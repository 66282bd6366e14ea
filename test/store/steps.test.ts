import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SILENT } from '../../src/kernel/observer.ts';
import type { StoreStep } from '../../src/node/store/local-store.ts';
import { StoreCluster, type TestNode } from './store-cluster.ts';

async function threeStores(): Promise<StoreCluster> {
  const cluster = new StoreCluster();
  for (const storeId of [1, 2, 3]) await cluster.add(storeId);
  await cluster.bootstrap([1, 2, 3]);
  await cluster.put('a', 'v');
  return cluster;
}

function take(node: TestNode, step: StoreStep): string {
  const result = node.store.takeStep(step);
  return result.type === 'taken' ? 'taken' : result.error.code;
}

function othersOf(cluster: StoreCluster, node: TestNode): TestNode[] {
  return [...cluster.nodes.values()].filter((other) => other !== node);
}

test('a step is for the leader, and for the shard as it was seen', async () => {
  const cluster = await threeStores();
  const { node, shard } = await cluster.leaderOf(1);
  const { epoch } = shard.meta;
  const change = { type: 'add-learner', epoch, replicaId: 20, storeId: 4 } as const;
  const step = { type: 'conf-change', shardId: 1, change } as const;
  const [follower] = othersOf(cluster, node);
  assert.ok(follower);
  assert.equal(take(follower, step), 'NOT_LEADER');
  assert.equal(take(node, { ...step, shardId: 9 }), 'SHARD_NOT_FOUND');
  for (const wrong of [
    { ...epoch, confVersion: epoch.confVersion + 1 },
    { ...epoch, generation: epoch.generation - 1 },
  ]) {
    assert.equal(take(node, { ...step, change: { ...change, epoch: wrong } }), 'EPOCH_NOT_MATCH');
    const split = { type: 'split', shardId: 1, epoch: wrong, keys: [Buffer.from('k')] } as const;
    assert.equal(take(node, split), 'EPOCH_NOT_MATCH');
  }
  assert.equal(take(node, step), 'taken');
});

test('lesson 7: a change that would leave no healthy quorum is refused', async () => {
  const cluster = await threeStores();
  const { node, shard } = await cluster.leaderOf(1);
  const { epoch, replicas } = shard.meta;
  const [dead, alive] = othersOf(cluster, node);
  assert.ok(dead && alive);
  const idOn = (one: TestNode): number =>
    replicas.find(({ storeId }) => storeId === one.storeId)?.replicaId ?? 0;
  const remove = (one: TestNode): StoreStep => ({
    type: 'conf-change',
    shardId: 1,
    change: { type: 'remove', epoch, replicaId: idOn(one) },
  });
  assert.equal(take(node, remove(node)), 'PRECONDITION_FAILED');
  cluster.kill(dead.storeId);
  await cluster.run(3000);
  assert.equal(take(node, remove(alive)), 'PRECONDITION_FAILED');
  assert.equal(take(node, remove(dead)), 'taken');
});

test('a learner is promoted only once it has caught up', async () => {
  const cluster = await threeStores();
  await cluster.add(4);
  let isHeld = true;
  cluster.lines.onChunk = async () => {
    while (isHeld) await new Promise<void>((resolve) => cluster.scheduler.after(20, resolve));
  };
  await cluster.changeMembers(1, { type: 'add-learner', replicaId: 20, storeId: 4 });
  await cluster.until(() => cluster.lines.open === 1, 'its snapshot is on its way');
  const { node, shard } = await cluster.leaderOf(1);
  const change = { type: 'promote', epoch: shard.meta.epoch, replicaId: 20 } as const;
  const promote = { type: 'conf-change', shardId: 1, change } as const;
  assert.equal(take(node, promote), 'PRECONDITION_FAILED');
  const again = { ...change, type: 'add-learner', replicaId: 21, storeId: 4 } as const;
  assert.equal(take(node, { ...promote, change: again }), 'PRECONDITION_FAILED');
  isHeld = false;
  await cluster.until(() => take(node, promote) === 'taken', 'it is promoted');
});

test('leadership goes to the voter that a step names, and to nobody else', async () => {
  const cluster = await threeStores();
  const { node, shard } = await cluster.leaderOf(1);
  const { epoch, replicas } = shard.meta;
  const step = { type: 'transfer-leader', shardId: 1, epoch } as const;
  assert.equal(take(node, { ...step, to: 99 }), 'UNAVAILABLE');
  const other = replicas.find(({ storeId }) => storeId !== node.storeId);
  assert.ok(other);
  assert.equal(take(node, { ...step, to: other.replicaId }), 'taken');
  const isMoved = (): boolean => cluster.leader(1)?.node.storeId === other.storeId;
  await cluster.until(isMoved, 'it leads');
});

test('keys to split at that are not inside the shard, or not in order, split nothing', async () => {
  let splits = 0;
  const count = (name: string): void => {
    splits += name === 'matrixkv_shard_splits_total' ? 1 : 0;
  };
  const observer = { ...SILENT, metrics: { ...SILENT.metrics, count } };
  const cluster = new StoreCluster();
  await cluster.add(1, observer);
  await cluster.bootstrap([1]);
  const { node, shard } = await cluster.leaderOf(1);
  const { epoch } = shard.meta;
  for (const keys of [['m', 'c'], ['c', 'c'], ['']]) {
    const wrong = keys.map((key) => Buffer.from(key));
    take(node, { type: 'split', shardId: 1, epoch, keys: wrong });
    await cluster.run(3000);
    assert.equal(node.store.shards().length, 1);
    assert.equal(splits, 0);
  }
  assert.equal(take(node, { type: 'split', shardId: 1, epoch, keys: [Buffer.from('m')] }), 'taken');
  await cluster.until(() => node.store.shards().length === 2, 'two shards');
  assert.equal(splits, 1);
});
