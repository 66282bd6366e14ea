import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MatrixError } from '../../src/kernel/errors.ts';
import { probeOwnGroup } from '../../src/node/probe-own-group.ts';
import { peerRequest } from '../../src/wire/peer-messages.ts';
import { envelope, shardMeta } from './hand-made.ts';
import { StoreCluster, type TestNode } from './store-cluster.ts';

async function threeStores(): Promise<StoreCluster> {
  const cluster = new StoreCluster();
  for (const storeId of [1, 2, 3]) await cluster.add(storeId);
  await cluster.bootstrap([1, 2, 3]);
  return cluster;
}

function write(cluster: StoreCluster, node: TestNode, options: { key: string; withinMs: number }) {
  const command = cluster.command(options.key, 'v', 1);
  return node.store.write({ shardId: 1, command }, node.clock.now() + options.withinMs);
}

/** How the promise ended: the code of its error, or `done`. */
function endOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'done',
    (error: unknown) => (error instanceof MatrixError ? error.code : String(error)),
  );
}

test('lesson 15: a store whose disk hangs loses its leaderships and the cluster goes on', async () => {
  const cluster = await threeStores();
  await cluster.put('a', '1');
  const { node } = await cluster.leaderOf(1);
  cluster.fate = ({ storeId }) => (storeId === node.storeId ? 'hang' : 'done');
  const stuck = endOf(write(cluster, node, { key: 'b', withinMs: 3000 }));
  const isLedElsewhere = (): boolean =>
    [...cluster.nodes.values()].some(
      (other) => other !== node && other.store.shard(1)?.isLeader === true,
    );
  const begun = cluster.scheduler.now();
  await cluster.until(isLedElsewhere, 'another store leads');
  assert.ok(cluster.scheduler.now() - begun < 5000);
  await cluster.until(() => node.store.shard(1)?.isLeader === false, 'the old one knows');
  assert.ok(['OUTCOME_UNKNOWN', 'TIMEOUT'].includes(await cluster.settle(stuck)));
  await cluster.put('a', '2');
  assert.equal(await cluster.get('a'), '2');
  // The disk comes back: the store follows again, and has everything.
  cluster.fate = () => 'done';
  node.disk.release();
  const index = (one?: TestNode) => one?.store.replica(1)?.durable.index;
  const leader = (): TestNode | undefined => cluster.leader(1)?.node;
  await cluster.until(() => index(node) === index(leader()), 'it has caught up');
  assert.notEqual(leader(), node);
  assert.deepEqual(cluster.failures, []);
});

test('requests to a store whose disk hangs are answered by their deadline', async () => {
  const cluster = await threeStores();
  await cluster.put('a', '1');
  const { node } = await cluster.leaderOf(1);
  cluster.fate = ({ storeId }) => (storeId === node.storeId ? 'hang' : 'done');
  const first = endOf(write(cluster, node, { key: 'b', withinMs: 300 }));
  await cluster.settle(first);
  assert.equal(node.disk.isHanging, true);
  // No turn begins any more: these never get as far as the log.
  const begun = cluster.scheduler.now();
  const request = { shardId: 1, generation: 1, key: Buffer.from('a') };
  const late = [
    endOf(write(cluster, node, { key: 'c', withinMs: 300 })),
    endOf(node.store.get(request, node.clock.now() + 300)),
  ];
  const codes = await cluster.settle(Promise.all(late));
  assert.ok(cluster.scheduler.now() - begun < 800);
  for (const code of codes) assert.ok(code === 'TIMEOUT' || code === 'NOT_LEADER', code);
});

test('a rejected write ends the process, and nothing of it was acknowledged', async () => {
  for (let at = 1; at <= 6; at += 1) {
    const cluster = new StoreCluster();
    const node = await cluster.add(1);
    await cluster.bootstrap([1]);
    await cluster.put('a', '1');
    const failing = node.disk.writes + at;
    cluster.fate = ({ number }) => (number === failing ? 'fail' : 'done');
    const acknowledged: string[] = [];
    const refused: string[] = [];
    let n = 0;
    while (cluster.failures.length === 0) {
      n += 1;
      const key = `k${n}`;
      const end = (list: string[]) => (): void => {
        list.push(key);
      };
      write(cluster, node, { key, withinMs: 1e6 }).then(end(acknowledged), end(refused));
      await cluster.run(1);
    }
    const durably = node.store.writeDurably([]);
    durably.catch(() => {});
    await cluster.run(1000);
    await assert.rejects(durably);
    assert.equal(cluster.failures.length, 1);
    const writes = node.disk.writes;
    assert.equal(writes, failing);
    cluster.failures.length = 0;
    cluster.kill(1);
    cluster.fate = () => 'done';
    await cluster.add(1);
    for (const key of acknowledged) assert.equal(await cluster.get(key), 'v');
  }
});

test('whoever writes beside the replicas hears of a failed write', async () => {
  const cluster = new StoreCluster();
  const node = await cluster.add(1);
  cluster.fate = () => 'fail';
  const operations = [{ type: 'put', key: Buffer.from('key'), value: Buffer.from('v') }] as const;
  const two = [node.store.writeDurably(operations), node.store.writeDurably(operations)];
  const ends = two.map((one) =>
    one.then(
      () => 'done',
      () => 'failed',
    ),
  );
  await cluster.run(10);
  assert.deepEqual(await Promise.all(ends), ['failed', 'failed']);
  assert.equal(cluster.failures.length, 1);
});

test('a stop waits for the write in flight and settles everybody', async () => {
  const cluster = await threeStores();
  const { node } = await cluster.leaderOf(1);
  cluster.fate = ({ storeId }) => (storeId === node.storeId ? 'hang' : 'done');
  const ends = ['a', 'b', 'c'].map((key) => endOf(write(cluster, node, { key, withinMs: 60_000 })));
  await cluster.until(() => node.disk.isHanging, 'a write hangs');
  let isStopped = false;
  const stopped = node.store.stop().then(() => {
    isStopped = true;
  });
  await cluster.run(500);
  assert.equal(isStopped, false);
  node.disk.release();
  await cluster.settle(stopped);
  const codes = await cluster.settle(Promise.all(ends));
  for (const code of codes) assert.ok(['UNAVAILABLE', 'OUTCOME_UNKNOWN'].includes(code), code);
  assert.deepEqual(cluster.failures, []);
});

test('a damaged replica is kept out of service, and what it held stays claimed', async () => {
  const cluster = await threeStores();
  await cluster.put('a', '1');
  const { node } = await cluster.leaderOf(1);
  const away = [1, 2, 3].find((id) => id !== node.storeId) ?? 0;
  const damaged = cluster.nodes.get(away);
  assert.ok(damaged);
  await cluster.damage(away, 1);
  cluster.kill(away);
  const again = await cluster.add(away);
  assert.equal(again.store.shard(1), undefined);
  assert.equal(again.store.isQuarantined(1), true);
  const other = shardMeta(7, ['70@1', `71@${away}`], { start: 'k' });
  const heartbeat = { type: 'heartbeat', from: 70, to: 71, term: 9, commit: 0 } as const;
  again.store.receive(envelope(other, { ...heartbeat, readSequence: 0 }));
  assert.equal(again.store.replica(7), undefined);
  await cluster.run(3000);
  assert.equal(again.store.replica(1), undefined);
  assert.equal(await cluster.get('a'), '1');
});

test('a member of Prophet whose replica is damaged still says that it has a history', async () => {
  const cluster = new StoreCluster();
  const node = await cluster.add(1);
  const hasHistory = async (of: TestNode): Promise<boolean | undefined> => {
    const request = peerRequest({ case: 'probeReplica', value: { shardId: 0n, replicaId: 0n } });
    const answer = await probeOwnGroup(request, of.store);
    const { response } = answer ?? {};
    return response?.case === 'probeReplica' ? response.value.hasHistory : undefined;
  };
  assert.equal(await hasHistory(node), false);
  const meta = shardMeta(0, ['1@0']);
  const local = { replicaId: 1, storeId: 0, role: 'voter' } as const;
  await cluster.settle(node.store.createReplica(meta, local));
  await cluster.until(() => node.store.replica(0)?.isLeader === true, 'it leads');
  await cluster.run(100);
  assert.equal(await hasHistory(node), true);
  await cluster.damage(1, 0);
  cluster.kill(1);
  const again = await cluster.add(1);
  assert.equal(again.store.replica(0), undefined);
  assert.equal(await hasHistory(again), true);
});
