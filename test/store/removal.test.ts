import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EMPTY } from '../../src/kernel/bytes.ts';
import type { ShardMeta } from '../../src/node/shard/shard-meta.ts';
import { destroysRange, hardStateKey, logRange } from '../../src/node/storage/keys.ts';
import { envelope, handMadeSnapshot, passing, shardMeta } from './hand-made.ts';
import { StoreCluster, type TestNode } from './store-cluster.ts';

const LAST = { term: 7, index: 20 };
const META = shardMeta(1, ['10@1', '11@2', '20@4']);
const WITHOUT_US = shardMeta(1, ['10@1', '11@2'], { confVersion: 2 });
const NEXT_LIFE = shardMeta(1, ['10@1', '11@2', '30@4'], { confVersion: 3 });
const KEYS = Array.from({ length: 30 }, (_, position) => `k${position}`);

/** A store that holds replica 20 of shard 1 with some data; its peers are played by the test. */
async function memberAlone(): Promise<{ cluster: StoreCluster; node: TestNode }> {
  const cluster = new StoreCluster();
  const node = await cluster.add(4);
  await receive(cluster, node, META, 20);
  const entry = { term: 7, index: 21, kind: 'empty', data: EMPTY } as const;
  const append = { type: 'append', from: 10, to: 20, term: 7, previous: LAST } as const;
  node.store.receive(envelope(META, { ...append, entries: [entry], commit: 20 }));
  await cluster.run(100);
  assert.equal(await countIn(node, logRange(1, 0, Number.MAX_SAFE_INTEGER)), 1);
  return { cluster, node };
}

function receive(cluster: StoreCluster, node: TestNode, meta: ShardMeta, to: number) {
  const snapshot = handMadeSnapshot({ meta, from: 10, to, last: LAST, keys: KEYS });
  return cluster.settle(node.store.receiveSnapshot(snapshot.header, passing(snapshot.chunks)));
}

function heartbeat(meta: ShardMeta, to: number) {
  const message = { type: 'heartbeat', from: 10, to, term: 7, commit: 0, readSequence: 0 } as const;
  return envelope(meta, message);
}

async function countIn(node: TestNode, range: { start: Uint8Array; end: Uint8Array }) {
  const page = await node.engine.scan({ ...range, limit: 1e6, bytesMax: 1e12 });
  return page.entries.length;
}

async function isNothingLeft(cluster: StoreCluster, node: TestNode): Promise<void> {
  assert.equal(await cluster.stateOf(node.storeId, META), '');
  assert.equal(await countIn(node, logRange(1, 0, Number.MAX_SAFE_INTEGER)), 0);
  assert.equal(await countIn(node, destroysRange()), 0);
  assert.equal(node.engine.get(hardStateKey(1)), undefined);
}

test('lesson 9: nothing but a newer list of members without the replica ends it', async () => {
  const { cluster, node } = await memberAlone();
  const before = await cluster.stateOf(4, META);
  const noProof: ShardMeta[] = [
    { ...WITHOUT_US, epoch: { generation: 9, confVersion: 1 } },
    { ...WITHOUT_US, epoch: { generation: 9, confVersion: 0 } },
    { ...META, epoch: { generation: 1, confVersion: 8 } },
    { ...WITHOUT_US, id: 2 },
  ];
  for (const proof of noProof) {
    node.store.acceptProof(proof);
    await cluster.run(1000);
    assert.equal(node.store.shard(1)?.replicaId, 20);
  }
  // Neither do messages, silence or a restart end it: whoever slept is asked about, no more.
  node.store.receive(heartbeat(NEXT_LIFE, 30));
  await cluster.run(60_000);
  cluster.kill(4);
  const again = await cluster.add(4);
  assert.equal(again.store.shard(1)?.replicaId, 20);
  assert.equal(await cluster.stateOf(4, META), before);
  assert.deepEqual(cluster.maybeStale, [{ storeId: 4, shardId: 1 }]);
  again.store.acceptProof(WITHOUT_US);
  await cluster.run(1000);
  assert.equal(again.store.shard(1), undefined);
  await isNothingLeft(cluster, again);
});

test('a removed replica stays away, and a later one of its shard may come', async () => {
  const { cluster, node } = await memberAlone();
  node.store.acceptProof(WITHOUT_US);
  // As long as anything is left, nobody comes.
  node.store.receive(heartbeat(NEXT_LIFE, 30));
  assert.equal(node.store.replica(1), undefined);
  await cluster.run(1000);
  node.store.receive(heartbeat(META, 20));
  assert.equal(node.store.replica(1), undefined);
  cluster.kill(4);
  const again = await cluster.add(4);
  again.store.receive(heartbeat(META, 20));
  assert.equal(again.store.replica(1), undefined);
  again.store.receive(heartbeat(NEXT_LIFE, 30));
  assert.equal(again.store.replica(1)?.replicaId, 30);
  await receive(cluster, again, NEXT_LIFE, 30);
  assert.equal(again.store.shard(1)?.replicaId, 30);
});

test('a destruction that a crash interrupts at any write is finished after the next start', async () => {
  for (const fate of ['crash-before', 'crash-after'] as const) {
    let crashes = 0;
    for (let at = 1; at < 20; at += 1) {
      const { cluster, node } = await memberAlone();
      const first = node.disk.writes;
      cluster.fate = ({ number }) => (number === first + at ? fate : 'done');
      node.store.acceptProof(WITHOUT_US);
      await cluster.run(1000);
      cluster.fate = () => 'done';
      if (cluster.nodes.has(4)) {
        await isNothingLeft(cluster, node);
        break;
      }
      crashes += 1;
      const again = await cluster.add(4);
      // A crash before the first write leaves the replica as it was.
      again.store.acceptProof(WITHOUT_US);
      await cluster.run(1000);
      await isNothingLeft(cluster, again);
      await receive(cluster, again, NEXT_LIFE, 30);
      assert.notEqual(await cluster.stateOf(4, NEXT_LIFE), '');
      assert.deepEqual(cluster.failures, []);
    }
    assert.ok(crashes >= 3, `crashed ${crashes} times`);
  }
});

test('a removal that is learnt from the group and from a proof at once destroys one replica', async () => {
  const cluster = new StoreCluster();
  for (const storeId of [1, 2, 3]) await cluster.add(storeId);
  await cluster.bootstrap([1, 2, 3]);
  await cluster.fill(KEYS, 'v');
  const { node } = await cluster.leaderOf(1);
  const away = [1, 2, 3].find((id) => id !== node.storeId) ?? 0;
  const removed = cluster.nodes.get(away);
  assert.ok(removed);
  const replica = removed.store.replica(1);
  assert.ok(replica);
  const { epoch, replicas } = node.store.shard(1)?.meta ?? META;
  const left = replicas.filter(({ replicaId }) => replicaId !== replica.replicaId);
  await cluster.changeMembers(1, { type: 'remove', replicaId: replica.replicaId });
  // Its own turn with the removal is on its way to the disk when the proof comes.
  await cluster.until(() => replica.meta.replicas.length === 2, 'it applies its removal');
  const proof = { ...META, replicas: left, epoch: { ...epoch, confVersion: 8 } };
  removed.store.acceptProof(proof);
  // Its next life begins as soon as it may.
  const next = { ...proof, replicas: [...left, { replicaId: 99, storeId: away, role: 'voter' }] };
  const isBack = (): boolean => {
    removed.store.receive(heartbeat(next as ShardMeta, 99));
    return removed.store.replica(1)?.replicaId === 99;
  };
  await cluster.until(isBack, 'the next replica is there');
  await cluster.run(1000);
  assert.ok(removed.engine.get(hardStateKey(1)) !== undefined, 'its term is on disk');
  assert.equal(removed.store.replica(1)?.replicaId, 99);
  assert.deepEqual(cluster.failures, []);
});

test('the next replica of a shard waits until nothing of the removed one is left', async () => {
  const cluster = new StoreCluster();
  for (const storeId of [1, 2, 3]) await cluster.add(storeId);
  const meta = await cluster.bootstrap([1, 2, 3]);
  await cluster.fill(KEYS, 'v');
  await cluster.run(1000);
  const { node } = await cluster.leaderOf(1);
  const away = [1, 2, 3].find((id) => id !== node.storeId) ?? 0;
  const removed = cluster.nodes.get(away);
  const replicaId = removed?.store.replica(1)?.replicaId ?? 0;
  assert.ok(removed);
  await cluster.changeMembers(1, { type: 'remove', replicaId });
  const next = { ...meta, replicas: [{ replicaId: 99, storeId: away, role: 'voter' as const }] };
  await cluster.until(() => removed.store.replica(1) === undefined, 'it is removed');
  assert.notEqual(await cluster.stateOf(away, meta), '');
  while ((await cluster.stateOf(away, meta)) !== '') {
    removed.store.receive(heartbeat(next, 99));
    assert.equal(removed.store.replica(1), undefined);
    await cluster.run(0.1);
  }
  await cluster.run(100);
  removed.store.receive(heartbeat(next, 99));
  assert.equal(removed.store.replica(1)?.replicaId, 99);
});

test('a vote on its way to the disk is not sent once a newer replica took the place', async () => {
  const cluster = new StoreCluster();
  const node = await cluster.add(4);
  let votes = 0;
  cluster.allow = ({ message }) => {
    votes += message.type === 'vote-response' ? 1 : 0;
    return false;
  };
  const vote = { type: 'vote', from: 10, to: 20, term: 9, last: LAST, isTransfer: false } as const;
  node.store.receive(envelope(META, vote));
  const begun = node.disk.writes;
  await cluster.until(() => node.disk.writes > begun, 'its write has begun');
  node.store.receive(heartbeat(NEXT_LIFE, 30));
  await cluster.run(100);
  assert.equal(node.store.replica(1)?.replicaId, 30);
  assert.equal(votes, 0);
});

test('an uninitialised replica remembers its vote over a restart', async () => {
  const cluster = new StoreCluster();
  const node = await cluster.add(4);
  const answers: boolean[] = [];
  cluster.allow = ({ message }) => {
    if (message.type === 'vote-response') answers.push(message.granted);
    return false;
  };
  const vote = { type: 'vote', to: 20, term: 9, last: LAST, isTransfer: false } as const;
  node.store.receive(envelope(META, { ...vote, from: 10 }));
  await cluster.run(100);
  cluster.kill(4);
  const again = await cluster.add(4);
  assert.equal(again.store.replica(1), undefined);
  again.store.receive(envelope(META, { ...vote, from: 11 }));
  await cluster.run(100);
  assert.deepEqual(answers, [true, false]);
});
