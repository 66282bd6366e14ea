// What may happen to a store while a snapshot comes in. The sender is played by the test, so that
// every moment can be chosen.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { utf8 } from '../../src/kernel/bytes.ts';
import { MatrixError } from '../../src/kernel/errors.ts';
import type { ShardMeta } from '../../src/node/shard/shard-meta.ts';
import { encodePart } from '../../src/node/shard/snapshot-codec.ts';
import { identKey, logRange, stagingRange } from '../../src/node/storage/keys.ts';
import {
  dataEntry,
  entriesPart,
  envelope,
  HeldChunks,
  handMadeSnapshot,
  passing,
  shardMeta,
} from './hand-made.ts';
import { StoreCluster, type TestNode } from './store-cluster.ts';

const LAST = { term: 7, index: 20 };
const META = shardMeta(1, ['10@1', '11@2', '20@4']);

async function loneStore(): Promise<{ cluster: StoreCluster; node: TestNode }> {
  const cluster = new StoreCluster();
  return { cluster, node: await cluster.add(4) };
}

function snapshotOf(meta: ShardMeta, to = 20, keys = ['a', 'b', 'c'], value = 'v') {
  return handMadeSnapshot({ meta, from: 10, to, last: LAST, keys, value });
}

async function stagedKeys(node: TestNode, shardId: number): Promise<number> {
  const page = await node.engine.scan({ ...stagingRange(shardId), limit: 1000, bytesMax: 1e9 });
  return page.entries.length;
}

test('an append behind a snapshot that waits for its installation is not confirmed and lost', async () => {
  const { cluster, node } = await loneStore();
  const confirmed: number[] = [];
  cluster.allow = ({ message }) => {
    if (message.type === 'append-response') confirmed.push(message.index);
    return false;
  };
  const { header, chunks } = snapshotOf(META);
  const received = node.store.receiveSnapshot(header, passing(chunks));
  const isAccepted = (): boolean => node.store.replica(1)?.status().lastIndex === LAST.index;
  await cluster.until(isAccepted, 'the core has accepted the snapshot');
  assert.equal(node.store.replica(1)?.isInstalling, false);
  const entry = { term: 7, index: 21, kind: 'normal', data: utf8('entry') } as const;
  const append = { type: 'append', from: 10, to: 20, term: 7, previous: LAST } as const;
  node.store.receive(envelope(META, { ...append, entries: [entry], commit: 20 }));
  await cluster.settle(received);
  await cluster.run(100);
  cluster.kill(4);
  const again = await cluster.add(4);
  const lastIndex = again.store.replica(1)?.status().lastIndex ?? 0;
  assert.ok(confirmed.includes(LAST.index), `confirmed ${confirmed.join(', ')}`);
  assert.ok(lastIndex >= Math.max(...confirmed), `${confirmed.join(', ')}, but holds ${lastIndex}`);
});

test('a snapshot for a replica that was removed here does not bring it back', async () => {
  const { cluster, node } = await loneStore();
  const first = snapshotOf(META);
  await cluster.settle(node.store.receiveSnapshot(first.header, passing(first.chunks)));
  node.store.acceptProof(shardMeta(1, ['10@1', '11@2'], { confVersion: 2 }));
  await cluster.run(1000);
  const late = snapshotOf(META);
  await assert.rejects(
    cluster.settle(node.store.receiveSnapshot(late.header, passing(late.chunks))),
    { code: 'UNAVAILABLE' },
  );
  assert.equal(node.store.replica(1), undefined);
  // The next life has a higher id.
  const meta = shardMeta(1, ['10@1', '11@2', '30@4'], { confVersion: 3 });
  const next = snapshotOf(meta, 30);
  await cluster.settle(node.store.receiveSnapshot(next.header, passing(next.chunks)));
  assert.equal(node.store.shard(1)?.replicaId, 30);
});

test('a replica removed while its snapshot comes in does not come back with the last chunk', async () => {
  const { cluster, node } = await loneStore();
  await cluster.settle(node.store.createInitial(META));
  const { header, chunks } = snapshotOf(META);
  const held = new HeldChunks(chunks);
  const received = node.store.receiveSnapshot(header, held);
  received.catch(() => {});
  held.pass(2);
  await cluster.run(100);
  node.store.acceptProof(shardMeta(1, ['10@1', '11@2'], { confVersion: 2 }));
  await cluster.run(1000);
  held.pass(chunks.length);
  await assert.rejects(cluster.settle(received), { code: 'UNAVAILABLE' });
  await cluster.run(100);
  assert.equal(node.store.replica(1), undefined);
  assert.equal(await stagedKeys(node, 1), 0);
});

test('chunks of two snapshots of one shard never mix', async () => {
  const { cluster, node } = await loneStore();
  await cluster.settle(node.store.createInitial(META));
  const old = snapshotOf(META, 20, ['a', 'b', 'c'], 'old');
  const slow = new HeldChunks(old.chunks);
  const first = node.store.receiveSnapshot(old.header, slow);
  first.catch(() => {});
  slow.pass(1);
  await cluster.run(100);
  node.store.acceptProof(shardMeta(1, ['10@1', '11@2'], { confVersion: 2 }));
  await cluster.run(1000);
  const meta = shardMeta(1, ['10@1', '11@2', '30@4'], { confVersion: 3 });
  const next = snapshotOf(meta, 30, ['a', 'b', 'c'], 'new');
  const held = new HeldChunks(next.chunks);
  let second = node.store.receiveSnapshot(next.header, held);
  second.catch(() => {});
  held.pass(2);
  await cluster.run(100);
  slow.pass(old.chunks.length);
  await assert.rejects(cluster.settle(first));
  held.pass(next.chunks.length);
  try {
    await cluster.settle(second);
  } catch (error) {
    // Refused while the other one was there: it comes again.
    assert.ok(error instanceof MatrixError && error.code === 'UNAVAILABLE');
    second = node.store.receiveSnapshot(next.header, passing(next.chunks));
    await cluster.settle(second);
  }
  assert.deepEqual(cluster.failures, []);
  const state = await cluster.stateOf(4, meta);
  assert.equal(state.includes(Buffer.from('old').toString('hex')), false);
  assert.equal(node.store.shard(1)?.replicaId, 30);
});

test('of two leaders that send a snapshot of one shard at a time the second is refused', async () => {
  const { cluster, node } = await loneStore();
  const { header, chunks } = snapshotOf(META);
  const held = new HeldChunks(chunks);
  const first = node.store.receiveSnapshot(header, held);
  await cluster.run(10);
  const other = handMadeSnapshot({ meta: META, from: 11, to: 20, last: { term: 8, index: 25 } });
  await assert.rejects(
    cluster.settle(node.store.receiveSnapshot(other.header, passing(other.chunks))),
    { code: 'UNAVAILABLE' },
  );
  held.pass(chunks.length);
  await cluster.settle(first);
  assert.equal(node.store.replica(1)?.durable.index, LAST.index);
});

test('lesson 20: two snapshots come in at a time, and a third is told to wait', async () => {
  const { cluster, node } = await loneStore();
  const send = (id: number) => {
    const bounds = { start: `${id}`, end: `${id + 1}` };
    const meta = shardMeta(id, ['10@1', '20@4'], bounds);
    const { header, chunks } = snapshotOf(meta, 20, []);
    const held = new HeldChunks(chunks);
    return { held, received: node.store.receiveSnapshot(header, held) };
  };
  const two = [send(1), send(2)];
  await cluster.run(10);
  assert.equal(node.store.snapshots.receiving, 2);
  await assert.rejects(cluster.settle(send(3).received), { code: 'UNAVAILABLE' });
  for (const { held } of two) held.pass(1);
  await cluster.settle(Promise.all(two.map(({ received }) => received)));
  const third = send(3);
  third.held.pass(1);
  await cluster.settle(third.received);
  assert.equal(node.store.shards().length, 3);
});

test('an installed snapshot takes the place of a wider state and of a log that went astray', async () => {
  const { cluster, node } = await loneStore();
  const wide = snapshotOf(META, 20, ['a', 'b', 'x', 'y'], 'old');
  await cluster.settle(node.store.receiveSnapshot(wide.header, passing(wide.chunks)));
  const entries = [21, 22, 23, 24].map((index) => {
    return { term: 7, index, kind: 'normal', data: utf8('never committed') } as const;
  });
  const append = { type: 'append', from: 10, to: 20, term: 7, previous: LAST, entries } as const;
  node.store.receive(envelope(META, { ...append, commit: 20 }));
  await cluster.run(100);
  assert.equal(node.store.replica(1)?.status().lastIndex, 24);
  const bounds = { start: 'm', generation: 2 };
  const meta = shardMeta(1, ['10@1', '11@2', '20@4'], bounds);
  const last = { term: 9, index: 22 };
  const next = handMadeSnapshot({ meta, from: 10, to: 20, last, keys: ['x'], value: 'new' });
  await cluster.settle(node.store.receiveSnapshot(next.header, passing(next.chunks)));
  assert.equal((await cluster.stateOf(4, META)).split('\n').length, 1);
  cluster.kill(4);
  const again = await cluster.add(4);
  assert.equal(again.store.replica(1)?.status().lastIndex, 22);
  assert.equal(again.store.replica(1)?.status().firstIndex, 23);
  const log = logRange(1, 0, Number.MAX_SAFE_INTEGER);
  const left = await again.engine.scan({ ...log, limit: 10, bytesMax: 1e9 });
  assert.equal(left.entries.length, 0);
});

test('a first replica does not take the place of one that installs a snapshot', async () => {
  for (let ms = 0; ms < 8; ms += 0.1) {
    const { cluster, node } = await loneStore();
    const { header, chunks } = snapshotOf(META);
    const received = node.store.receiveSnapshot(header, passing(chunks));
    const end = received.then(
      () => 'installed',
      () => 'refused',
    );
    await cluster.run(ms);
    await cluster.settle(node.store.createInitial(META));
    const index = await cluster.settle(end).then(() => node.store.replica(1)?.durable.index);
    if ((await end) === 'installed') assert.equal(index, LAST.index);
    await cluster.run(1000);
    assert.equal(node.store.shard(1)?.replicaId, 20);
    assert.deepEqual(cluster.failures, []);
  }
});

test('a snapshot that ends after a newer replica of the shard was addressed is refused', async () => {
  const { cluster, node } = await loneStore();
  const { header, chunks } = snapshotOf(META);
  const held = new HeldChunks(chunks);
  const received = node.store.receiveSnapshot(header, held);
  received.catch(() => {});
  await cluster.run(10);
  const meta = shardMeta(1, ['10@1', '11@2', '30@4'], { confVersion: 3 });
  const heartbeat = { type: 'heartbeat', from: 10, to: 30, term: 9, commit: 0 } as const;
  node.store.receive(envelope(meta, { ...heartbeat, readSequence: 0 }));
  await cluster.run(10);
  held.pass(chunks.length);
  await assert.rejects(cluster.settle(received), { code: 'UNAVAILABLE' });
  assert.equal(node.store.replica(1)?.replicaId, 30);
  assert.equal(node.store.replica(1)?.isInitialised, false);
  assert.equal(await stagedKeys(node, 1), 0);
});

test('a snapshot that was refused or cut leaves nothing on disk', async () => {
  const { cluster, node } = await loneStore();
  const { header, chunks } = snapshotOf(META);
  await assert.rejects(
    cluster.settle(node.store.receiveSnapshot(header, passing(chunks.slice(0, 2)))),
  );
  assert.equal(await stagedKeys(node, 1), 0);
  const lying = [...chunks.slice(0, 2), encodePart({ type: 'end', entries: 3 })];
  await assert.rejects(cluster.settle(node.store.receiveSnapshot(header, passing(lying))));
  assert.equal(await stagedKeys(node, 1), 0);
  assert.equal(node.store.snapshots.receiving, 0);
});

test('what a crash left of a half-received snapshot is cleared at the next start', async () => {
  const { cluster, node } = await loneStore();
  const { header, chunks } = snapshotOf(META);
  const held = new HeldChunks(chunks);
  node.store.receiveSnapshot(header, held).catch(() => {});
  held.pass(2);
  await cluster.run(100);
  assert.ok((await stagedKeys(node, 1)) > 0);
  cluster.kill(4);
  const again = await cluster.add(4);
  assert.equal(await stagedKeys(again, 1), 0);
});

test('a snapshot with keys outside of its shard is refused before they are installed', async () => {
  const { cluster, node } = await loneStore();
  const meta = shardMeta(1, ['10@1', '20@4'], { start: 'a', end: 'm' });
  const { header } = snapshotOf(meta, 20, ['b']);
  const foreign = [dataEntry('z', 'v'), { key: identKey(), value: utf8('somebody else') }];
  for (const entry of foreign) {
    const chunks = [entriesPart([entry]), encodePart({ type: 'end', entries: 1 })];
    await assert.rejects(cluster.settle(node.store.receiveSnapshot(header, passing(chunks))));
  }
  assert.equal(node.engine.get(identKey()), undefined);
  assert.equal(node.store.shard(1), undefined);
});

test("a snapshot makes no member of Prophet's group", async () => {
  const { cluster, node } = await loneStore();
  const meta = shardMeta(0, ['1@0', '2@0']);
  const { header, chunks } = handMadeSnapshot({ meta, from: 1, to: 2, last: LAST });
  await assert.rejects(cluster.settle(node.store.receiveSnapshot(header, passing(chunks))), {
    code: 'UNAVAILABLE',
  });
  assert.equal(node.store.replica(0), undefined);
});

test('a snapshot that comes to its end while the node stops is refused', async () => {
  const { cluster, node } = await loneStore();
  const { header, chunks } = snapshotOf(META);
  const held = new HeldChunks(chunks);
  const received = node.store.receiveSnapshot(header, held);
  received.catch(() => {});
  held.pass(1);
  await cluster.run(100);
  await cluster.settle(node.store.stop());
  held.pass(chunks.length);
  await assert.rejects(cluster.settle(received));
});

test('stopping in the middle of an installation settles everything and the next start ends it', async () => {
  for (let ms = 0; ms < 12; ms += 0.25) {
    const { cluster, node } = await loneStore();
    const { header, chunks } = snapshotOf(META);
    const received = node.store.receiveSnapshot(header, passing(chunks));
    const settled = received.then(
      () => 'installed',
      () => 'refused',
    );
    await cluster.run(ms);
    await cluster.settle(node.store.stop());
    const end = await cluster.settle(settled);
    cluster.kill(4);
    const again = await cluster.add(4);
    const index = again.store.replica(1)?.durable.index;
    if (end === 'installed') assert.equal(index, LAST.index);
    else assert.ok(index === undefined || index === LAST.index, `is at ${index}`);
    assert.deepEqual(cluster.failures, []);
  }
});
