import assert from 'node:assert/strict';
import { test } from 'node:test';
import { utf8 } from '../../src/kernel/bytes.ts';
import { encodeCommand } from '../../src/node/shard/commands.ts';
import { decodeHardState } from '../../src/node/shard/shard-records.ts';
import { hardStateKey } from '../../src/node/storage/keys.ts';
import type { Envelope } from '../../src/node/transport/transport.ts';
import { envelope, handMadeSnapshot, passing, shardMeta } from './hand-made.ts';
import { StoreCluster } from './store-cluster.ts';

const LAST = { term: 7, index: 20 };

async function threeStores(): Promise<StoreCluster> {
  const cluster = new StoreCluster();
  for (const storeId of [1, 2, 3]) await cluster.add(storeId);
  await cluster.bootstrap([1, 2, 3]);
  return cluster;
}

function split(cluster: StoreCluster, key: string): void {
  const leader = cluster.leader(1);
  assert.ok(leader);
  const { epoch } = leader.shard.meta;
  const step = { type: 'split', shardId: 1, epoch, keys: [utf8(key)] } as const;
  assert.deepEqual(leader.node.store.takeStep(step), { type: 'taken' });
}

test('lesson 8: a store that applies a split late makes its part without a snapshot', async () => {
  const cluster = await threeStores();
  await cluster.fill(['a', 'm', 'z'], 'before');
  const { node } = await cluster.leaderOf(1);
  const late = [1, 2, 3].find((id) => id !== node.storeId) ?? 0;
  // Only what is about the old shard is held back: messages of the new one come first.
  cluster.allow = ({ shardId, to }) => shardId !== 1 || to.storeId !== late;
  split(cluster, 'k');
  await cluster.until(() => node.store.shards().length === 2, 'the others have split');
  const created = node.store.shards()[0]?.meta.id ?? 0;
  // Whoever led the old shard elects at once; the third store does not even know of the new one.
  const begun = cluster.scheduler.now();
  await cluster.until(() => cluster.leader(created) !== undefined, 'the new shard has a leader');
  assert.ok(cluster.scheduler.now() - begun < 50);
  await cluster.put('a', 'after');
  await cluster.run(3000);
  assert.equal(cluster.nodes.get(late)?.store.replica(created), undefined);
  cluster.allow = () => true;
  const store = cluster.nodes.get(late)?.store;
  const index = (of: typeof store) => of?.replica(created)?.durable.index;
  const isThere = (): boolean =>
    store?.shard(created) !== undefined &&
    index(store) === index(cluster.leader(created)?.node.store);
  await cluster.until(isThere, 'the late store has caught up');
  const { meta } = cluster.leader(created)?.shard ?? {};
  assert.ok(meta);
  assert.equal(await cluster.stateOf(late, meta), await cluster.stateOf(node.storeId, meta));
  assert.equal(await cluster.get('a'), 'after');
  assert.deepEqual(cluster.lines.begun, []);
  assert.deepEqual(cluster.failures, []);
});

test('a split that a crash interrupts at any write leaves two whole shards', async () => {
  let crashes = 0;
  for (let at = 1; at < 12; at += 1) {
    const cluster = await threeStores();
    await cluster.fill(['a', 'm', 'z'], 'v');
    const { node } = await cluster.leaderOf(1);
    const begun = new Map([...cluster.nodes.values()].map((one) => [one.storeId, one.disk.writes]));
    cluster.fate = ({ storeId, number }) =>
      number === (begun.get(storeId) ?? 0) + at && cluster.nodes.size > 2 ? 'crash-after' : 'done';
    split(cluster, 'k');
    await cluster.run(200);
    cluster.fate = () => 'done';
    for (const storeId of [1, 2, 3]) {
      if (cluster.nodes.has(storeId)) continue;
      crashes += 1;
      await cluster.add(storeId);
    }
    // The leader may have died before it proposed anything.
    await cluster.leaderAt('a');
    if (cluster.leader(1) === undefined || (await cluster.leaderAt('a')).shard.meta.id === 1) {
      await cluster.until(() => cluster.leader(1) !== undefined, 'a leader');
      split(cluster, 'k');
    }
    const isSplit = (): boolean =>
      [...cluster.nodes.values()].every(({ store }) => store.shards().length === 2);
    await cluster.until(isSplit, `two shards everywhere after write ${at}`);
    for (const key of ['a', 'm', 'z']) assert.equal(await cluster.get(key), 'v');
    for (const { meta } of node.store.shards()) {
      await cluster.run(1000);
      const states = await Promise.all([1, 2, 3].map((id) => cluster.stateOf(id, meta)));
      assert.equal(new Set(states).size, 1);
    }
    assert.deepEqual(cluster.failures, []);
  }
  assert.ok(crashes > 3, `crashed ${crashes} times`);
});

test('a vote that is asked for before the split is given after it', async () => {
  const cluster = new StoreCluster();
  const node = await cluster.add(4);
  const granted: number[] = [];
  cluster.allow = ({ shardId, message }) => {
    if (message.type === 'vote-response' && message.granted) granted.push(shardId);
    return false;
  };
  const parent = shardMeta(1, ['10@1', '20@4']);
  const { header, chunks } = handMadeSnapshot({ meta: parent, from: 10, to: 20, last: LAST });
  await cluster.settle(node.store.receiveSnapshot(header, passing(chunks)));
  const child = shardMeta(2, ['41@1', '40@4'], { end: 'k', generation: 2 });
  const last = { term: 5, index: 5 };
  const vote = { type: 'vote', from: 41, to: 40, term: 6, last, isTransfer: false } as const;
  node.store.receive(envelope(child, vote));
  await cluster.run(100);
  assert.equal(node.store.replica(2), undefined);
  const part = { shardId: 2, end: utf8('k'), replicaIds: [41, 40], sizeBytes: 0, keys: 0 };
  const data = encodeCommand({ type: 'split', epoch: parent.epoch, parts: [part] });
  const entries = [{ term: 7, index: 21, kind: 'normal', data }] as const;
  const append = { type: 'append', from: 10, to: 20, term: 7, previous: LAST, entries } as const;
  node.store.receive(envelope(parent, { ...append, commit: 21 }));
  await cluster.run(100);
  assert.deepEqual(granted, [2]);
});

/** Replicas 20 of shard 1 and 40 of shard 2 live on store 4; the split of 1 creates 2. */
for (const order of ['split first', 'vote first'] as const) {
  test(`a core that votes in the turn of its own split, ${order}, spoils nothing`, async () => {
    const cluster = new StoreCluster();
    const node = await cluster.add(4);
    const granted: number[] = [];
    cluster.allow = ({ message }) => {
      if (message.type === 'vote-response' && message.granted) granted.push(message.term);
      return false;
    };
    const parent = shardMeta(1, ['10@1', '20@4']);
    const child = shardMeta(2, ['41@1', '40@4'], { end: 'k', generation: 2 });
    const hello = { type: 'heartbeat', from: 41, to: 40, commit: 0, readSequence: 0 } as const;
    node.store.receive(envelope(child, { ...hello, term: 9 }));
    await cluster.run(100);
    const { header, chunks } = handMadeSnapshot({ meta: parent, from: 10, to: 20, last: LAST });
    await cluster.settle(node.store.receiveSnapshot(header, passing(chunks)));
    const part = { shardId: 2, end: utf8('k'), replicaIds: [41, 40], sizeBytes: 0, keys: 0 };
    const data = encodeCommand({ type: 'split', epoch: parent.epoch, parts: [part] });
    const append: Envelope = envelope(parent, {
      type: 'append',
      from: 10,
      to: 20,
      term: 7,
      previous: LAST,
      entries: [{ term: 7, index: 21, kind: 'normal', data }],
      commit: 21,
    });
    const last = { term: 9, index: 30 };
    const vote = { type: 'vote', from: 41, to: 40, term: 10, last, isTransfer: true } as const;
    const messages = [append, envelope(child, vote)];
    if (order === 'vote first') messages.reverse();
    for (const message of messages) node.store.receive(message);
    await cluster.until(() => node.store.shard(2) !== undefined, 'the new shard is open');
    await cluster.run(100);
    const key = hardStateKey(2);
    const stored = decodeHardState(key, node.engine.get(key) ?? new Uint8Array(0));
    assert.ok(stored.commit >= 5, `commit is ${stored.commit}`);
    for (const term of granted) {
      assert.ok(stored.term > term || stored.vote === 41, 'what was granted is remembered');
    }
    cluster.kill(4);
    const again = await cluster.add(4);
    assert.equal(again.store.shard(2)?.replicaId, 40);
    assert.deepEqual(cluster.failures, []);
  });
}
