// Lesson 8: what may happen around a split on a replica that hears of it late.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ShardMeta } from '../../src/node/shard/shard-meta.ts';
import { replicaOn } from '../../src/node/shard/shard-meta.ts';
import { decodeHardState } from '../../src/node/shard/shard-records.ts';
import { hardStateKey } from '../../src/node/storage/keys.ts';
import type { Envelope } from '../../src/node/transport/transport.ts';
import { StoreCluster, type TestNode } from './store-cluster.ts';

async function clusterOf(storeIds: readonly number[]): Promise<StoreCluster> {
  const cluster = new StoreCluster();
  for (const storeId of storeIds) await cluster.add(storeId);
  await cluster.bootstrap(storeIds);
  for (const key of ['a', 'b', 'y', 'z']) await cluster.put(key, `1 of ${key}`);
  return cluster;
}

/** Splits shard 1 at `m`. Resolves with the new shard, whose first replicas are made by then. */
async function splitAtM(cluster: StoreCluster): Promise<ShardMeta> {
  const { node, shard } = await cluster.leaderOf(1);
  const { epoch } = shard.meta;
  const step = { type: 'split', shardId: 1, epoch, keys: [Buffer.from('m')] } as const;
  assert.equal(node.store.takeStep(step).type, 'taken');
  const created = (): ShardMeta | undefined =>
    node.store.shards().find(({ meta }) => meta.id !== 1)?.meta;
  await cluster.until(() => created() !== undefined, 'the shard is split');
  const meta = created();
  assert.ok(meta);
  return meta;
}

function nodeOf(cluster: StoreCluster, storeId: number): TestNode {
  const node = cluster.nodes.get(storeId);
  assert.ok(node);
  return node;
}

/** Everybody has applied everything, and all replicas of a shard hold the same. */
async function checkEqual(cluster: StoreCluster): Promise<void> {
  await cluster.run(3000);
  assert.deepEqual(cluster.failures, []);
  const [first] = cluster.nodes.values();
  for (const { meta } of first?.store.shards() ?? []) {
    const states = await Promise.all(
      meta.replicas.map(({ storeId }) => cluster.stateOf(storeId, meta)),
    );
    for (const state of states) assert.equal(state, states[0]);
    assert.ok((states[0] ?? '').length > 0);
  }
}

async function follower(cluster: StoreCluster): Promise<number> {
  const { node } = await cluster.leaderOf(1);
  const storeId = [1, 2, 3].find((id) => id !== node.storeId);
  assert.ok(storeId);
  return storeId;
}

test('lesson 8: two stores split and go on while a third one has not heard of it', async () => {
  const cluster = await clusterOf([1, 2, 3]);
  const late = await follower(cluster);
  const early: string[] = [];
  cluster.allow = ({ shardId, to, message }) => {
    if (to.storeId !== late) return true;
    if (shardId !== 1) early.push(message.type);
    return shardId !== 1;
  };
  const created = await splitAtM(cluster);
  await cluster.put('a', '2 of a');
  await cluster.put('z', '2 of z');
  // The new shard has a leader and followers that elect again: its messages reach the third store.
  for (let n = 0; n < 5; n += 1) {
    await cluster.put(`a${n}`, 'more');
    await cluster.run(400);
  }
  assert.ok(early.length > 0, 'messages for the new shard came before the split');
  const { store } = nodeOf(cluster, late);
  assert.equal(store.shard(created.id), undefined);
  assert.equal(store.replica(created.id), undefined, 'no core over a range that is not free');
  assert.equal(store.shards().length, 1);
  cluster.allow = () => true;
  await cluster.until(() => store.shard(created.id) !== undefined, 'the third store has split');
  await checkEqual(cluster);
  assert.equal(await cluster.get('a'), '2 of a');
  assert.equal(await cluster.get('z'), '2 of z');
  assert.equal(cluster.lines.begun.length, 0, 'no snapshot was needed');
});

test('lesson 8: a new shard elects with the store that heard of the split last', async () => {
  const cluster = await clusterOf([1, 2, 3]);
  const late = await follower(cluster);
  const { node: leader } = await cluster.leaderOf(1);
  const other = [1, 2, 3].find((id) => id !== late && id !== leader.storeId) ?? 0;
  cluster.allow = ({ shardId, to }) => to.storeId !== late || shardId !== 1;
  // Of the new shard nobody but the late store is there to vote for the leader's replica.
  const isChild = (envelope: Envelope): boolean => envelope.shardId !== 1;
  const before = cluster.allow;
  cluster.allow = (envelope) =>
    before(envelope) && !(isChild(envelope) && envelope.to.storeId === other);
  const created = await splitAtM(cluster);
  await cluster.run(200);
  assert.equal(cluster.leader(created.id), undefined, 'its vote is still missing');
  cluster.allow = (envelope) => !(isChild(envelope) && envelope.to.storeId === other);
  const from = cluster.scheduler.now();
  await cluster.leaderOf(created.id);
  // The vote that came too early was kept and answered when the split was applied.
  assert.ok(cluster.scheduler.now() - from < 900, `${cluster.scheduler.now() - from} ms`);
  cluster.allow = () => true;
  await checkEqual(cluster);
});

/** A fourth store whose replica gets the state from before the split, after the split. */
async function lateSnapshot(): Promise<{
  cluster: StoreCluster;
  node: TestNode;
  created: ShardMeta;
  /** The append that makes the fourth store split. */
  split: () => Envelope;
}> {
  const cluster = await clusterOf([1, 2, 3]);
  const node = await cluster.add(4);
  const gate = Promise.withResolvers<void>();
  const { store } = node;
  const receive = store.receiveSnapshot.bind(store);
  let isAsked = false;
  store.receiveSnapshot = async (header, chunks) => {
    isAsked = true;
    await gate.promise;
    await receive(header, chunks);
  };
  await cluster.changeMembers(1, { type: 'add-learner', replicaId: 20, storeId: 4 });
  await cluster.until(() => isAsked, 'a snapshot is on its way to store 4');
  const created = await splitAtM(cluster);
  await cluster.leaderOf(created.id);
  await cluster.until(() => store.replica(created.id) !== undefined, 'a core without a state');
  assert.equal(store.shard(created.id), undefined);
  let held: Envelope | undefined;
  cluster.allow = (envelope) => {
    const { message, shardId, to } = envelope;
    const isSplit = message.type === 'append' && message.entries.length > 0;
    if (shardId !== 1 || to.storeId !== 4 || !isSplit) return true;
    held = envelope;
    return false;
  };
  gate.resolve();
  await cluster.until(() => store.shard(1) !== undefined, 'the old state is installed');
  await cluster.until(() => held !== undefined, 'the split is on its way');
  return {
    cluster,
    node,
    created,
    split: () => {
      cluster.allow = () => true;
      assert.ok(held);
      return held;
    },
  };
}

/** A vote that somebody asks of the fourth store's replica of the new shard. */
function voteRequest(created: ShardMeta, term: number): Envelope {
  const from = replicaOn(created, 1);
  const to = replicaOn(created, 4);
  assert.ok(from && to);
  const { start, end, epoch } = created;
  return {
    shardId: created.id,
    toStoreId: 4,
    from,
    to,
    shard: { start, end, epoch },
    message: {
      type: 'vote',
      from: from.replicaId,
      to: to.replicaId,
      term,
      last: { term: 1000, index: 1000 },
      isTransfer: true,
    },
  };
}

test('lesson 8: a vote given before the split is not forgotten by it', async () => {
  const { cluster, node, created, split } = await lateSnapshot();
  cluster.allow = ({ shardId }) => shardId === 1;
  node.store.receive(voteRequest(created, 50));
  await cluster.run(20);
  const given = hardStateOf(node, created.id);
  assert.deepEqual(given, { term: 50, vote: replicaOn(created, 1)?.replicaId, commit: 0 });
  node.store.receive(split());
  cluster.allow = ({ shardId }) => shardId === 1;
  await cluster.until(() => node.store.shard(created.id) !== undefined, 'store 4 has split');
  assert.deepEqual(hardStateOf(node, created.id), { ...given, commit: 5 });
  cluster.allow = () => true;
  await checkEqual(cluster);
});

test('lesson 8: a vote asked for in the turn of the split does not undo it', async () => {
  for (const order of ['split first', 'vote first']) {
    const { cluster, node, created, split } = await lateSnapshot();
    const messages = [split(), voteRequest(created, 50)];
    if (order === 'vote first') messages.reverse();
    for (const message of messages) node.store.receive(message);
    await cluster.until(() => node.store.shard(created.id) !== undefined, 'store 4 has split');
    await checkEqual(cluster);
    cluster.kill(4);
    await cluster.add(4);
    await checkEqual(cluster);
    assert.ok(cluster.nodes.get(4)?.store.shard(created.id), order);
  }
});

function hardStateOf(node: TestNode, shardId: number): ReturnType<typeof decodeHardState> {
  const key = hardStateKey(shardId);
  const bytes = node.engine.get(key);
  assert.ok(bytes);
  return decodeHardState(key, bytes);
}
