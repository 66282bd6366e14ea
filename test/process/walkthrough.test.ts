// The published walk-through, step by step, on real processes: one cluster lives through all of it.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { must } from '../../src/kernel/assert.ts';
import { AcknowledgedWrites } from './acknowledged-writes.ts';
import {
  leaderNameOf,
  readLocalShardIds,
  readShards,
  readStores,
  replicationProblem,
  storeIdOf,
} from './cluster-views.ts';
import { call, callJson, type Reply } from './http-calls.ts';
import { LocalCluster } from './local-cluster.ts';
import { isAlive } from './started-processes.ts';
import { until } from './until.ts';

const REPLICATED_MS_MAX = 20_000;
const UNAVAILABLE_MS_MAX = 2_000;
/** For what has no promised time: a slow machine may be slow. */
const PATIENCE_MS = 30_000;
const NAMES = ['node0', 'node1', 'node2', 'node3'] as const;

function post(node: string, path: string, body: unknown): Promise<Reply> {
  return call(`${node}${path}`, {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'Content-Type': 'application/json' },
  });
}

async function set(node: string, key: string, value: string): Promise<void> {
  const { status, body } = await post(node, '/set', { key, value });
  assert.deepEqual([status, JSON.parse(body)], [200, { key, error: '' }]);
}

describe('the walk-through on four real processes', { timeout: 180_000 }, () => {
  let cluster: LocalCluster;
  before(async () => {
    cluster = await LocalCluster.prepare();
  });
  const clients: AcknowledgedWrites[] = [];
  after(async () => {
    await Promise.all(clients.map((client) => client.stop()));
    await cluster.close();
  });

  /** A client that writes until it is stopped, at the latest with the last test. */
  function startClient(node: string, name: string): AcknowledgedWrites {
    const client = new AcknowledgedWrites(node, name);
    clients.push(client);
    client.start();
    return client;
  }

  async function assertEverywhere(key: string, expected: unknown): Promise<void> {
    for (const node of cluster.urls()) {
      assert.deepEqual(await callJson(`${node}/get?key=${key}`), expected, node);
    }
  }

  async function untilReplicated(live: readonly string[], withinMs: number): Promise<number> {
    const node = cluster.urlOf(must(live[0], 'A node lives'));
    const stores = await Promise.all(live.map((name) => storeIdOf(node, name)));
    return await until({ what: 'three live replicas of every shard', withinMs }, () =>
      replicationProblem(node, { live: stores, replicas: 3 }),
    );
  }

  test('1: one command starts four nodes and tells what to try next', async (t) => {
    const start = performance.now();
    const printed = await cluster.start();
    const took = performance.now() - start;
    // How long that takes is for `npm run measure` to say: here other tests use the processor too.
    t.diagnostic(`ready after ${Math.round(took)} ms`);
    for (const [index, name] of NAMES.entries()) {
      const roles = index < 3 ? 'prophet,data' : 'data';
      assert.match(printed, new RegExp(`${name} +${cluster.url(index)} +${roles} +\\d+`));
    }
    assert.match(printed, /curl http/);
    assert.match(printed, /npx mkv local stop node3/);
  });

  test('2: what one node was told, every node knows at once', async () => {
    await set(cluster.url(0), 'k1', 'v1');
    await assertEverywhere('k1', { key: 'k1', value: 'v1', found: true, error: '' });
    for (let round = 0; round < 20; round += 1) {
      await set(cluster.url(round % 4), 'k1', `v${round}`);
      await assertEverywhere('k1', { key: 'k1', value: `v${round}`, found: true, error: '' });
    }
    const { status } = await post(cluster.url(3), '/delete', { key: 'k1' });
    assert.equal(status, 200);
    await assertEverywhere('k1', { key: 'k1', value: '', found: false, error: '' });
    await set(cluster.url(1), 'k1', 'v1');
  });

  test('3a: three nodes show the one shard, the fourth shows none', async () => {
    const counts = await Promise.all(
      cluster.urls().map(async (node) => (await readLocalShardIds(node)).length),
    );
    assert.deepEqual(counts.toSorted(), [0, 1, 1, 1]);
  });

  test('1: Ctrl-C stops cleanly, and the next start finds all data again', async () => {
    const pids = Object.values(await cluster.pids());
    assert.equal(pids.length, 4);
    assert.deepEqual(await cluster.interrupt(), { code: 0, signal: undefined });
    assert.deepEqual(pids.filter(isAlive), []);
    assert.match(cluster.output(), /The data stays in/);
    await cluster.start('--shard-capacity=1024');
    await assertEverywhere('k1', { key: 'k1', value: 'v1', found: true, error: '' });
  });

  test('3b: a value of more than 1,024 bytes splits the shard on all replicas', async () => {
    const value = 'x'.repeat(1_500);
    await set(cluster.url(0), 'large', value);
    const wait = { what: 'two shards, on all their replicas', withinMs: PATIENCE_MS };
    await until(wait, async () => {
      const [shards, stores] = await Promise.all([
        readShards(cluster.url(0)),
        readStores(cluster.url(0)),
      ]);
      if (shards.length < 2) return 'a second shard';
      const problems = await Promise.all(
        stores.map(async ({ id, name }) => {
          const expected = shards.filter(({ replicas }) => replicas.some((r) => r.storeId === id));
          const shown = await readLocalShardIds(cluster.urlOf(name));
          const missing = expected.filter((shard) => !shown.includes(shard.id));
          return missing.map((shard) => `shard ${shard.id} on ${name}`);
        }),
      );
      return problems.flat().join(', ');
    });
    const shards = await readShards(cluster.url(0));
    assert.equal(shards[0]?.start, '');
    assert.equal(shards.at(-1)?.end, '');
    for (const [index, shard] of shards.entries()) {
      assert.equal(shard.replicas.length, 3, JSON.stringify(shard));
      if (index > 0) assert.equal(shard.start, shards[index - 1]?.end);
    }
    await assertEverywhere('large', { key: 'large', value, found: true, error: '' });
    await assertEverywhere('k1', { key: 'k1', value: 'v1', found: true, error: '' });
  });

  test('4: a stopped node is missed by nobody, and comes back', async (t) => {
    // A replica on node3 comes with the balance after the split.
    await untilReplicated(NAMES, PATIENCE_MS);
    await until({ what: 'node3 holds a replica', withinMs: PATIENCE_MS }, async () =>
      (await readLocalShardIds(cluster.url(3))).length > 0 ? '' : 'no shard',
    );
    const writes = startClient(cluster.url(0), 'four');
    const stopped = await cluster.local('stop', 'node3');
    assert.equal(stopped.code, 0, stopped.output);
    await assert.rejects(call(`${cluster.url(3)}/get?key=k1`), /ECONNREFUSED/);
    for (const index of [0, 1, 2]) {
      await set(cluster.url(index), 'during', `${index}`);
      const answer = await callJson(`${cluster.url(index)}/get?key=during`);
      assert.deepEqual(answer, { key: 'during', value: `${index}`, found: true, error: '' });
    }
    const took = await untilReplicated(['node0', 'node1', 'node2'], REPLICATED_MS_MAX);
    t.diagnostic(`three live replicas of every shard after ${Math.round(took)} ms`);
    await writes.stop();

    const started = await cluster.local('start', 'node3');
    assert.equal(started.code, 0, started.output);
    assert.match(started.output, /node3 \(pid \d+\) is ready after/);
    await untilNothingIsStale();
    assert.deepEqual(await writes.findLost(cluster.url(3)), []);
    await assertEverywhere('k1', { key: 'k1', value: 'v1', found: true, error: '' });
  });

  /** Every node holds exactly the replicas that the shards name. */
  async function untilNothingIsStale(): Promise<void> {
    const wait = { what: 'no stale replicas, none missing', withinMs: PATIENCE_MS };
    await until(wait, async () => {
      const shards = await readShards(cluster.url(0));
      const stores = await readStores(cluster.url(0));
      const problems = await Promise.all(
        stores.map(async ({ id, name }) => {
          const expected = shards.filter(({ replicas }) => replicas.some((r) => r.storeId === id));
          const shown = await readLocalShardIds(cluster.urlOf(name));
          const wanted = expected.map((shard) => shard.id);
          const isSame = shown.toSorted().join() === wanted.toSorted().join();
          return isSame ? [] : [`${name} shows ${shown.join()}, expected ${wanted.join()}`];
        }),
      );
      return problems.flat().join('; ');
    });
  }

  test('4: a node that is killed by kill -9 is replaced just so, also with many shards', async (t) => {
    for (let number = 0; number < 400; number += 1) {
      await set(cluster.url(number % 4), `many-${number}`, 'x'.repeat(100));
    }
    await untilReplicated(NAMES, PATIENCE_MS);
    const wait = { what: 'many replicas on node3', withinMs: PATIENCE_MS };
    await until(wait, async () => {
      const { length } = await readLocalShardIds(cluster.url(3));
      return length >= 10 ? '' : `${length} replicas`;
    });
    t.diagnostic(`${(await readShards(cluster.url(0))).length} shards`);
    await cluster.kill('node3');
    const took = await untilReplicated(['node0', 'node1', 'node2'], REPLICATED_MS_MAX);
    t.diagnostic(`three live replicas of every shard after ${Math.round(took)} ms`);
    const status = await cluster.local('status');
    assert.match(status.output, /node3 +stopped/);
    assert.equal((await cluster.local('start', 'node3')).code, 0);
    const restarted = await cluster.local('restart', 'node1');
    assert.match(restarted.output, /node1 \(pid \d+\) is ready after/);
    const listed = await cluster.local('status');
    assert.equal(listed.output.match(/ ready /g)?.length, 4, listed.output);
    await untilNothingIsStale();
    await assertEverywhere('during', { key: 'during', value: '2', found: true, error: '' });
  });

  test('5: clients of other nodes miss a killed leader for at most 2 s', async (t) => {
    for (let round = 0; round < 3; round += 1) {
      await untilReplicated(NAMES, PATIENCE_MS);
      const prefix = `five-${round}`;
      const leader = must(await leaderNameOf(cluster.url(0), prefix), 'The shard has a leader');
      const others = NAMES.filter((name) => name !== leader);
      const writers = others.map((name) => startClient(cluster.urlOf(name), `${prefix}-${name}`));
      await until({ what: 'load from every client', withinMs: PATIENCE_MS }, () =>
        writers.every(({ count }) => count > 20) ? '' : 'writes',
      );
      for (const client of writers) client.forgetGap();
      await cluster.kill(leader);
      const before = writers.map(({ count }) => count);
      await until({ what: 'writes go on', withinMs: PATIENCE_MS }, () =>
        writers.every(({ count }, index) => count > (before[index] ?? 0) + 100) ? '' : 'writes',
      );
      const gaps = writers.map(({ gapMs }) => Math.round(gapMs));
      t.diagnostic(`${leader} killed; longest time without success: ${gaps.join(', ')} ms`);
      await Promise.all(writers.map((client) => client.stop()));
      assert.ok(Math.max(...gaps) <= UNAVAILABLE_MS_MAX, `Without success for ${gaps.join()} ms`);
      assert.equal((await cluster.local('start', leader)).code, 0);
      for (const client of writers) {
        assert.deepEqual(await client.findLost(cluster.urlOf(leader)), []);
      }
    }
  });

  test('5: all four killed at once under load lose nothing that was acknowledged', async () => {
    const writers = cluster.urls().map((node, at) => startClient(node, `all-${at}`));
    await until({ what: 'load from every client', withinMs: PATIENCE_MS }, () =>
      writers.every(({ count }) => count > 50) ? '' : 'writes',
    );
    await cluster.killAll();
    await Promise.all(writers.map((client) => client.stop()));
    await cluster.start();
    for (const [at, client] of writers.entries()) {
      assert.deepEqual(await client.findLost(cluster.url((at + 1) % 4)), []);
    }
    await assertEverywhere('k1', { key: 'k1', value: 'v1', found: true, error: '' });
    assert.deepEqual(await cluster.interrupt(), { code: 0, signal: undefined });
  });
});
