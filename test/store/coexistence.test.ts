// A node with both roles holds Prophet's group and user shards side by side.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { envelope, shardMeta } from './hand-made.ts';
import { StoreCluster } from './store-cluster.ts';

const PROPHET = shardMeta(0, ['1@0']);
const MEMBER = { replicaId: 1, storeId: 0, role: 'voter' } as const;
const FIRST = shardMeta(1, ['10@1']);

test("Prophet's replica and the first shard can be created in any order and at once", async () => {
  for (const order of ['prophet first', 'shard first', 'at once'] as const) {
    const cluster = new StoreCluster();
    const { store } = await cluster.add(1);
    const prophet = () => store.createReplica(PROPHET, MEMBER);
    const shard = () => store.createInitial(FIRST);
    const both = order === 'shard first' ? [shard, prophet] : [prophet, shard];
    if (order === 'at once') await cluster.settle(Promise.all(both.map((make) => make())));
    else for (const make of both) await cluster.settle(make());
    await cluster.run(3000);
    assert.equal(store.replica(0)?.isLeader, true, order);
    assert.equal(store.replica(1)?.isLeader, true, order);
  }
});

test('messages for user shards are taken in while the replica of Prophet is opened', async () => {
  const cluster = new StoreCluster();
  const { store } = await cluster.add(1);
  const created = store.createReplica(PROPHET, MEMBER);
  const meta = shardMeta(1, ['10@1', '11@2']);
  const heartbeat = { type: 'heartbeat', from: 11, to: 10, term: 9, commit: 0 } as const;
  store.receive(envelope(meta, { ...heartbeat, readSequence: 0 }));
  assert.equal(store.replica(1)?.replicaId, 10);
  await cluster.settle(created);
});

test('a first replica is created once, however often it is asked for', async () => {
  const cluster = new StoreCluster();
  const { store } = await cluster.add(1);
  await cluster.settle(Promise.all([1, 2, 3].map(() => store.createInitial(FIRST))));
  await cluster.put('a', 'v');
  await cluster.settle(store.createInitial(FIRST));
  assert.equal(await cluster.get('a'), 'v');
  assert.deepEqual(cluster.failures, []);
});

test('a first replica keeps the vote that a message made it give before', async () => {
  const cluster = new StoreCluster();
  const { store } = await cluster.add(1);
  const granted: number[] = [];
  cluster.allow = ({ message }) => {
    if (message.type === 'vote-response' && message.granted) granted.push(message.to);
    return false;
  };
  const meta = shardMeta(1, ['10@1', '11@2', '12@3']);
  const last = { term: 5, index: 5 };
  const vote = { type: 'vote', to: 10, term: 9, last, isTransfer: false } as const;
  store.receive(envelope(meta, { ...vote, from: 11 }));
  await cluster.run(100);
  await cluster.settle(store.createInitial(meta));
  store.receive(envelope(meta, { ...vote, from: 12 }));
  await cluster.run(100);
  assert.deepEqual(granted, [11]);
  assert.equal(store.shard(1)?.term, 9);
});
