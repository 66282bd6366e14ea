import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StoreCluster } from './store-cluster.ts';

const KIB = 1024;
const KEYS = Array.from({ length: 40 }, (_, position) => `key${String(position).padStart(3, '0')}`);
/** Bytes that make a snapshot of KEYS several chunks long. */
const VALUE = 'v'.repeat(60 * KIB);

async function clusterOf(storeIds: readonly number[], options = {}): Promise<StoreCluster> {
  const cluster = new StoreCluster(options);
  for (const storeId of storeIds) await cluster.add(storeId);
  await cluster.bootstrap(storeIds);
  return cluster;
}

async function isEqualOn(cluster: StoreCluster, [a, b]: readonly [number, number]): Promise<void> {
  const meta = cluster.leader(1)?.shard.meta;
  assert.ok(meta);
  const [first, second] = [await cluster.stateOf(a, meta), await cluster.stateOf(b, meta)];
  assert.ok(first.length > 0);
  assert.equal(first, second);
}

/** The replica on this store has applied all that the leader has. */
function hasCaughtUp(cluster: StoreCluster, storeId: number): boolean {
  const leader = cluster.leader(1)?.node.store.replica(1)?.durable.index;
  const replica = cluster.nodes.get(storeId)?.store.replica(1);
  return (
    leader !== undefined && replica?.isInitialised === true && replica.durable.index === leader
  );
}

test('lesson 20: a cut stream is retried until the snapshot is there', async () => {
  const cluster = await clusterOf([1, 2, 3]);
  await cluster.fill(KEYS, VALUE);
  let cuts = 0;
  cluster.lines.onChunk = ({ number }) => {
    if (number !== 2 || cuts === 3) return;
    cuts += 1;
    throw new Error('Wire was cut');
  };
  await cluster.add(4);
  await cluster.changeMembers(1, { type: 'add-learner', replicaId: 20, storeId: 4 });
  await cluster.until(() => hasCaughtUp(cluster, 4), 'the learner has caught up');
  assert.equal(cluster.lines.begun.length, 4);
  assert.equal(cluster.lines.delivered.length, 1);
  await isEqualOn(cluster, [1, 4]);
  assert.deepEqual(cluster.failures, []);
});

test('lesson 20: snapshots are admitted by tokens on either side, and all arrive', async () => {
  const cluster = await clusterOf([1], { shardCapacityBytes: 300 * KIB });
  await cluster.fill(KEYS, VALUE);
  const store = (id: number) => cluster.nodes.get(id)?.store;
  await cluster.until(() => (store(1)?.shards().length ?? 0) >= 6, 'many shards');
  // Beyond the time in which followers are expected to split by themselves.
  await cluster.run(12_000);
  await cluster.add(4);
  const peak = { sending: 0, receiving: 0 };
  cluster.lines.onChunk = async () => {
    peak.sending = Math.max(peak.sending, store(1)?.snapshots.sending ?? 0);
    peak.receiving = Math.max(peak.receiving, store(4)?.snapshots.receiving ?? 0);
    await new Promise<void>((resolve) => cluster.scheduler.after(20, resolve));
  };
  const shards = store(1)?.shards() ?? [];
  for (const { meta } of shards) {
    const replicaId = 5000 + meta.id;
    await cluster.changeMembers(meta.id, { type: 'add-learner', replicaId, storeId: 4 });
  }
  await cluster.until(() => store(4)?.shards().length === shards.length, 'all shards');
  assert.deepEqual(peak, { sending: 2, receiving: 2 });
  for (const { meta } of shards) {
    assert.equal(await cluster.stateOf(1, meta), await cluster.stateOf(4, meta));
  }
});

test('lesson 20: the log is held for a live snapshot', async () => {
  const limits = { logEntriesMax: 100 };
  const cluster = await clusterOf([1, 2, 3], { limits });
  await cluster.fill(KEYS, 'v');
  let isHeld = true;
  cluster.lines.onChunk = async () => {
    while (isHeld) await new Promise<void>((resolve) => cluster.scheduler.after(20, resolve));
  };
  await cluster.add(4);
  await cluster.changeMembers(1, { type: 'add-learner', replicaId: 20, storeId: 4 });
  await cluster.until(() => cluster.lines.open === 1, 'the snapshot is on its way');
  // More than the window that is kept without need, less than the hard bound.
  for (let round = 0; round < 6; round += 1) await cluster.fill(KEYS, `round ${round}`);
  const log = cluster.leader(1)?.node.store.replica(1)?.status();
  assert.ok(log !== undefined && log.lastIndex - log.truncated.index > 2 * limits.logEntriesMax);
  isHeld = false;
  await cluster.until(() => hasCaughtUp(cluster, 4), 'the learner has caught up');
  assert.equal(cluster.lines.begun.length, 1);
  await isEqualOn(cluster, [1, 4]);
});

test('a snapshot whose sender dies in the middle comes from the next leader', async () => {
  const cluster = await clusterOf([1, 2, 3]);
  await cluster.fill(KEYS, VALUE);
  const senders: number[] = [];
  cluster.lines.onChunk = ({ from, number }) => {
    senders.push(from);
    if (number === 2 && cluster.nodes.size === 4) cluster.kill(from);
  };
  await cluster.add(4);
  await cluster.changeMembers(1, { type: 'add-learner', replicaId: 20, storeId: 4 });
  await cluster.until(() => hasCaughtUp(cluster, 4), 'the learner has caught up');
  const leader = cluster.leader(1)?.node.storeId ?? 0;
  assert.equal(new Set(senders).size, 2);
  await isEqualOn(cluster, [leader, 4]);
});

test('a leader that comes back sends no second snapshot while the first is on its way', async () => {
  const cluster = await clusterOf([1, 2, 3]);
  await cluster.fill(KEYS, VALUE);
  let isHeld = true;
  cluster.lines.onChunk = async ({ number }) => {
    while (isHeld && number === 2) {
      await new Promise<void>((resolve) => cluster.scheduler.after(20, resolve));
    }
  };
  await cluster.add(4);
  await cluster.changeMembers(1, { type: 'add-learner', replicaId: 20, storeId: 4 });
  await cluster.until(() => cluster.lines.open === 1, 'the snapshot is on its way');
  const sender = cluster.leader(1)?.node;
  const meta = cluster.leader(1)?.shard.meta;
  assert.ok(sender && meta);
  const moveTo = (wanted: (storeId: number) => boolean): Promise<void> =>
    cluster.until(() => {
      const leader = cluster.leader(1);
      if (leader === undefined || wanted(leader.node.storeId)) return leader !== undefined;
      const to = meta.replicas.find(({ storeId, role }) => role === 'voter' && wanted(storeId));
      const { epoch } = leader.shard.meta;
      leader.node.store.takeStep({
        type: 'transfer-leader',
        shardId: 1,
        epoch,
        to: to?.replicaId ?? 0,
      });
      return false;
    }, 'leadership has moved');
  await moveTo((storeId) => storeId !== sender.storeId);
  await moveTo((storeId) => storeId === sender.storeId);
  await cluster.until(() => {
    const status = sender.store.replica(1)?.status().progress?.get(20);
    return status?.state === 'snapshot';
  }, 'the leader wants to send it again');
  await cluster.run(2000);
  const begun = cluster.lines.begun.filter(({ from }) => from === sender.storeId);
  assert.equal(begun.length, 1);
  isHeld = false;
  await cluster.until(() => hasCaughtUp(cluster, 4), 'the learner has caught up');
  await isEqualOn(cluster, [sender.storeId, 4]);
});

test('a sender that loses its replica in the middle of a snapshot only ends that snapshot', async () => {
  const cluster = await clusterOf([1, 2, 3]);
  await cluster.fill(KEYS, VALUE);
  let isHeld = true;
  cluster.lines.onChunk = async ({ number }) => {
    while (isHeld && number === 2) {
      await new Promise<void>((resolve) => cluster.scheduler.after(20, resolve));
    }
  };
  await cluster.add(4);
  await cluster.changeMembers(1, { type: 'add-learner', replicaId: 20, storeId: 4 });
  await cluster.until(() => cluster.lines.open === 1, 'the snapshot is on its way');
  const sender = cluster.nodes.get(cluster.lines.begun[0]?.from ?? 0);
  const meta = sender?.store.shard(1)?.meta;
  assert.ok(sender && meta);
  const replicas = meta.replicas.filter(({ storeId }) => storeId !== sender.storeId);
  const epoch = { ...meta.epoch, confVersion: meta.epoch.confVersion + 5 };
  sender.store.acceptProof({ ...meta, replicas, epoch });
  isHeld = false;
  await cluster.until(() => sender.store.snapshots.sending === 0, 'the stream has ended');
  await cluster.run(3000);
  assert.equal(sender.store.replica(1), undefined);
  assert.equal(await cluster.stateOf(sender.storeId, meta), '');
  assert.deepEqual(cluster.failures, []);
});

test('a receiver that crashes at any write of a snapshot ends with the state of the others', async () => {
  for (const fate of ['crash-before', 'crash-after'] as const) {
    let crashes = 0;
    for (let at = 1; at < 30; at += 1) {
      const cluster = await clusterOf([1]);
      await cluster.fill(KEYS.slice(0, 20), VALUE);
      let hasCrashed = false;
      cluster.fate = ({ storeId, number }) => {
        if (storeId !== 4 || number !== at || hasCrashed) return 'done';
        hasCrashed = true;
        return fate;
      };
      await cluster.add(4);
      await cluster.changeMembers(1, { type: 'add-learner', replicaId: 20, storeId: 4 });
      const isOver = (): boolean => hasCaughtUp(cluster, 4) || !cluster.nodes.has(4);
      await cluster.until(isOver, 'it has crashed or is done');
      if (cluster.nodes.has(4)) break;
      crashes += 1;
      await cluster.add(4);
      await cluster.until(() => hasCaughtUp(cluster, 4), `${fate} at write ${at}`);
      await isEqualOn(cluster, [1, 4]);
      assert.equal(await cluster.stagedKeys(4), 0);
      assert.deepEqual(cluster.failures, []);
    }
    assert.ok(crashes > 8, `crashed ${crashes} times`);
  }
});

test('a follower with an older, wider state that crashes at any write of a snapshot ends equal', async () => {
  let crashes = 0;
  for (let at = 1; at < 40; at += 1) {
    const limits = { logEntriesMax: 50 };
    const cluster = await clusterOf([1, 2, 3], { limits });
    await cluster.fill(['old-a', 'old-b', 'z'], 'old');
    const { node } = await cluster.leaderOf(1);
    const away = [1, 2, 3].find((id) => id !== node.storeId) ?? 0;
    cluster.kill(away);
    const { epoch } = cluster.leader(1)?.shard.meta ?? {};
    assert.ok(epoch);
    node.store.takeStep({ type: 'split', shardId: 1, epoch, keys: [Buffer.from('p')] });
    await cluster.until(() => node.store.shards().length === 2, 'split');
    for (let round = 0; round < 8; round += 1) {
      for (const key of ['a', 'q']) {
        await cluster.fill(
          Array.from({ length: 40 }, (_, n) => `${key}${n}`),
          `${round}`,
        );
      }
    }
    let hasCrashed = false;
    cluster.fate = ({ storeId, number }) => {
      if (storeId !== away || number !== at || hasCrashed) return 'done';
      hasCrashed = true;
      return 'crash-after';
    };
    await cluster.add(away);
    const shards = node.store.shards();
    const isWhole = (): boolean =>
      shards.every(({ meta }) => {
        const other = cluster.nodes.get(away)?.store.replica(meta.id);
        const index = cluster.leader(meta.id)?.node.store.replica(meta.id)?.durable.index;
        return other?.isInitialised === true && other.durable.index === index;
      });
    await cluster.until(() => isWhole() || !cluster.nodes.has(away), 'it has crashed or is done');
    const isDone = cluster.nodes.has(away);
    if (!isDone) await cluster.add(away);
    await cluster.until(isWhole, `crash at write ${at}`);
    for (const { meta } of shards) {
      assert.equal(await cluster.stateOf(node.storeId, meta), await cluster.stateOf(away, meta));
    }
    assert.deepEqual(cluster.failures, []);
    assert.ok(cluster.lines.delivered.length > 0);
    if (isDone) break;
    crashes += 1;
  }
  assert.ok(crashes > 8, `crashed ${crashes} times`);
});

test('lesson 18: a follower that is gone costs no more memory than the log window', async () => {
  const limits = { logEntriesMax: 200, logBytesMax: 256 * KIB, inflightBytesMax: 256 * KIB };
  const cluster = await clusterOf([1, 2, 3], { limits: { ...limits, messageBytesMax: 64 * KIB } });
  await cluster.fill(KEYS, 'v');
  const { node } = await cluster.leaderOf(1);
  const away = [1, 2, 3].find((id) => id !== node.storeId) ?? 0;
  cluster.kill(away);
  let peakBytes = 0;
  let peakEntries = 0;
  for (let round = 0; round < 60; round += 1) {
    await cluster.fill(KEYS, 'x'.repeat(2 * KIB));
    const status = node.store.replica(1)?.status();
    peakBytes = Math.max(peakBytes, status?.logBytes ?? 0);
    peakEntries = Math.max(peakEntries, (status?.lastIndex ?? 0) - (status?.truncated.index ?? 0));
  }
  assert.ok(peakBytes <= 5 * limits.logBytesMax, `${peakBytes} bytes`);
  assert.ok(peakEntries <= 5 * limits.logEntriesMax, `${peakEntries} entries`);
  cluster.lines.onChunk = ({ bytes }) => assert.ok(bytes.length <= 600 * KIB);
  await cluster.add(away);
  await cluster.until(() => hasCaughtUp(cluster, away), 'the follower has caught up');
  await isEqualOn(cluster, [node.storeId, away]);
});
