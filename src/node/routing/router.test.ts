import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { utf8 } from '../../kernel/bytes.ts';
import { MatrixError } from '../../kernel/errors.ts';
import { TestCluster } from './cluster-suite.ts';

const KEY = utf8('key');
const VALUE = utf8('value');
const WRITE = { key: KEY, value: VALUE };

/** The error that a promise rejects with. */
async function failureOf(promise: Promise<unknown>): Promise<MatrixError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof MatrixError) return error;
    throw error;
  }
  throw new Error('Expected a failure');
}

describe('Router', () => {
  test('a node without replicas serves reads and writes through the leader', async () => {
    const cluster = new TestCluster();
    cluster.addShard({ id: 1 }, 2);
    const router = cluster.router();
    const context = { deadline: 5000 };
    const written = await cluster.settle(router.put(WRITE, context));
    assert.deepEqual(written, { applied: true, existed: false, version: 1 });
    const read = await cluster.settle(router.get(KEY, context));
    assert.ok(read.found);
    assert.equal(Buffer.from(read.value).toString(), 'value');
    const deleted = await cluster.settle(router.delete({ key: KEY }, context));
    assert.equal(deleted.existed, true);
    assert.deepEqual(await cluster.settle(router.get(KEY, context)), { found: false });
    assert.deepEqual(cluster.calls, [2, 2, 2, 2]);
    assert.equal(cluster.prophetAsked, 1);
  });

  test('the leader on this very node is asked without the network', async () => {
    const cluster = new TestCluster();
    cluster.addShard({ id: 1 }, 2);
    cluster.prophetRoutes = 'away';
    await cluster.settle(cluster.router({ at: 2 }).put(WRITE, { deadline: 5000 }));
    assert.deepEqual(cluster.calls, []);
    assert.equal(cluster.prophetAsked, 0);
  });

  test('a follower here knows the leader: one call is enough', async () => {
    const cluster = new TestCluster();
    cluster.addShard({ id: 1 }, 2);
    await cluster.settle(cluster.router({ at: 3 }).get(KEY, { deadline: 5000 }));
    assert.deepEqual(cluster.calls, [2]);
  });

  test('lesson 10: a cache ten splits old needs at most three tries', async () => {
    const cluster = new TestCluster();
    const group = cluster.addShard({ id: 1 }, 1);
    const router = cluster.router();
    await cluster.settle(router.get(utf8('a'), { deadline: 5000 }));
    for (let cut = 0; cut < 10; cut += 1) {
      const left = cluster.split(group, utf8(`k${cut}`), 100 + cut);
      cluster.elect(left, 1 + (cut % 3));
    }
    cluster.prophetRoutes = 'away';
    for (const key of ['a', 'k3x', 'k8', 'zz']) {
      cluster.calls.length = 0;
      await cluster.settle(router.put({ key: utf8(key), value: VALUE }, { deadline: 5000 }));
      assert.ok(cluster.calls.length <= 3, `${key} took ${cluster.calls.length} tries`);
    }
  });

  test('lesson 10: a Prophet that has not heard of a split does not hide the shard', async () => {
    const cluster = new TestCluster();
    const group = cluster.addShard({ id: 1 }, 1);
    const old = { ...group };
    cluster.split(group, utf8('m'), 2);
    cluster.prophetRoutes = () => [old];
    const router = cluster.router();
    await cluster.settle(router.get(utf8('x'), { deadline: 5000 }));
    await cluster.settle(router.get(utf8('a'), { deadline: cluster.clock.now() + 1000 }));
  });

  test('a leader that moved is found by the hint of the old one', async () => {
    const cluster = new TestCluster();
    const group = cluster.addShard({ id: 1 }, 1);
    const router = cluster.router();
    await cluster.settle(router.get(KEY, { deadline: 5000 }));
    cluster.elect(group, 3);
    cluster.prophetRoutes = 'away';
    cluster.calls.length = 0;
    await cluster.settle(router.get(KEY, { deadline: 5000 }));
    await cluster.settle(router.get(KEY, { deadline: 5000 }));
    assert.deepEqual(cluster.calls, [1, 3, 3]);
  });

  test('lesson 21: a dead leader costs little once another one leads, also without Prophet', async () => {
    const cluster = new TestCluster();
    const group = cluster.addShard({ id: 1 }, 1);
    const router = cluster.router();
    await cluster.settle(router.put(WRITE, { deadline: 5000 }));
    cluster.prophetRoutes = 'away';
    cluster.dead.add(1);
    for (const storeId of [2, 3]) cluster.store(storeId).freeze({ ...group, leaderStoreId: 0 });
    const startedAt = cluster.clock.now();
    cluster.clock.after(1500, () => {
      for (const storeId of [2, 3]) cluster.store(storeId).frozen.clear();
      cluster.elect(group, 3);
    });
    await cluster.settle(router.put(WRITE, { deadline: startedAt + 10_000 }));
    assert.ok(
      cluster.clock.now() - startedAt < 1500 + 150,
      `took ${cluster.clock.now() - startedAt}`,
    );
    assert.equal(group.applied, 2);
  });

  test('a silent leader costs one attempt, not the whole deadline, and later callers nothing', async () => {
    const cluster = new TestCluster();
    const group = cluster.addShard({ id: 1 }, 1);
    const router = cluster.router();
    await cluster.settle(router.get(KEY, { deadline: 5000 }));
    cluster.silent.add(1);
    cluster.elect(group, 2);
    const startedAt = cluster.clock.now();
    await cluster.settle(router.get(KEY, { deadline: startedAt + 10_000 }));
    assert.ok(cluster.clock.now() - startedAt < 1300);
    await cluster.pass(3000);
    cluster.calls.length = 0;
    await cluster.settle(router.get(KEY, { deadline: cluster.clock.now() + 10_000 }));
    assert.deepEqual(cluster.calls, [2], 'The leader that answered is remembered');
  });

  test('a store that was silent for one shard is asked last for all others', async () => {
    const cluster = new TestCluster();
    const group = cluster.addShard({ id: 1 }, 1);
    const left = cluster.split(group, utf8('m'), 2);
    const router = cluster.router();
    await cluster.settle(router.get(utf8('a'), { deadline: 5000 }));
    cluster.prophetRoutes = 'away';
    cluster.silent.add(1);
    cluster.elect(group, 2);
    cluster.elect(left, 2);
    await cluster.settle(router.get(utf8('z'), { deadline: cluster.clock.now() + 10_000 }));
    const startedAt = cluster.clock.now();
    await cluster.settle(router.get(utf8('a'), { deadline: startedAt + 10_000 }));
    assert.ok(cluster.clock.now() - startedAt < 50);
  });

  test('a shard that moved away with all its replicas is found through Prophet', async () => {
    const cluster = new TestCluster([1, 2, 3, 4, 5]);
    const group = cluster.addShard({ id: 1 }, 1);
    const router = cluster.router();
    await cluster.settle(router.get(KEY, { deadline: 5000 }));
    const replicas = [4, 5].map((storeId) => ({
      replicaId: storeId,
      storeId,
      role: 'voter' as const,
    }));
    group.meta = { ...group.meta, replicas, epoch: { generation: 1, confVersion: 9 } };
    cluster.elect(group, 5);
    const startedAt = cluster.clock.now();
    await cluster.settle(router.get(KEY, { deadline: startedAt + 5000 }));
    assert.ok(cluster.clock.now() - startedAt < 200);
    assert.equal(cluster.calls.at(-1), 5);
  });

  test('lesson 4: a write whose answer is lost is repeated under its stamp and applied once', async () => {
    const cluster = new TestCluster();
    const group = cluster.addShard({ id: 1 }, 1);
    cluster.store(1).mishaps.push('lost-answer');
    const result = await cluster.settle(cluster.router().put(WRITE, { deadline: 10_000 }));
    assert.deepEqual(result, { applied: true, existed: false, version: 1 });
    assert.equal(group.applied, 1);
  });

  test('lesson 4: a retry that crosses a split is still applied once', async () => {
    const cluster = new TestCluster();
    const group = cluster.addShard({ id: 1 }, 1);
    cluster.store(1).mishaps.push('lost-answer');
    const writing = cluster.router().put(WRITE, { deadline: 10_000 });
    await cluster.pass(500);
    const left = cluster.split(group, utf8('m'), 2);
    const result = await cluster.settle(writing);
    assert.deepEqual(result, { applied: true, existed: false, version: 1 });
    assert.equal(left.applied, 0);
  });

  test('lesson 4: after one unknown outcome no later refusal makes the write not applied', async () => {
    const cluster = new TestCluster();
    const group = cluster.addShard({ id: 1 }, 1);
    cluster.store(1).mishaps.push('lost-answer', new MatrixError('DISK_FULL', 'No space'));
    const error = await failureOf(
      cluster.settle(cluster.router().put(WRITE, { deadline: 10_000 })),
    );
    assert.equal(error.outcome, 'unknown');
    assert.equal(group.applied, 1);
  });

  test('lesson 4: without any attempt that may have applied, a timeout says not applied', async () => {
    const cluster = new TestCluster();
    cluster.addShard({ id: 1 }, 1);
    for (const storeId of [1, 2, 3]) cluster.dead.add(storeId);
    const error = await failureOf(cluster.settle(cluster.router().put(WRITE, { deadline: 3000 })));
    assert.equal(error.code, 'TIMEOUT');
    assert.equal(error.outcome, 'not-applied');
    assert.ok(cluster.clock.now() >= 3000 && cluster.clock.now() < 3100);
  });

  test('lesson 4: a deadline that passes while a store is silent leaves the outcome unknown', async () => {
    const cluster = new TestCluster();
    cluster.addShard({ id: 1 }, 1);
    for (const storeId of [1, 2, 3]) cluster.silent.add(storeId);
    const error = await failureOf(cluster.settle(cluster.router().put(WRITE, { deadline: 3000 })));
    assert.equal(error.code, 'TIMEOUT');
    assert.equal(error.outcome, 'unknown');
    assert.ok(cluster.clock.now() < 3100);
  });

  test('an expired session is renewed when nothing can have been applied', async () => {
    const cluster = new TestCluster();
    const group = cluster.addShard({ id: 1 }, 1);
    const router = cluster.router();
    group.floor = new Uint8Array(16).fill(0x10);
    const result = await cluster.settle(router.put(WRITE, { deadline: 5000 }));
    assert.equal(result.applied, true);
    cluster.calls.length = 0;
    await cluster.settle(router.put(WRITE, { deadline: 5000 }));
    assert.equal(cluster.calls.length, 1, 'The renewed session is kept');
  });

  test('an expired session after an unknown outcome is an unknown outcome, and is renewed', async () => {
    const cluster = new TestCluster();
    const group = cluster.addShard({ id: 1 }, 1);
    const router = cluster.router();
    cluster.store(1).mishaps.push('lost-answer');
    const writing = failureOf(router.put(WRITE, { deadline: 10_000 }));
    await cluster.pass(500);
    group.floor = new Uint8Array(16).fill(0x10);
    group.sessions.clear();
    const error = await cluster.settle(writing);
    assert.equal(error.code, 'OUTCOME_UNKNOWN');
    assert.equal(group.applied, 1);
    await cluster.settle(router.put(WRITE, { deadline: cluster.clock.now() + 1000 }));
    assert.equal(group.applied, 2);
  });

  test('a refusal that no retry would change comes back at once', async () => {
    const cluster = new TestCluster();
    cluster.addShard({ id: 1 }, 1);
    cluster.store(1).mishaps.push(new MatrixError('INVALID_ARGUMENT', 'Stale duplicate'));
    const error = await failureOf(cluster.settle(cluster.router().put(WRITE, { deadline: 5000 })));
    assert.equal(error.code, 'INVALID_ARGUMENT');
    assert.deepEqual(cluster.calls, [1]);
  });

  test('a busy leader is asked again after a pause, and nobody else is', async () => {
    const cluster = new TestCluster();
    cluster.addShard({ id: 1 }, 1);
    const busy = new MatrixError('OVERLOADED', 'Busy', { retryAfterMs: 300 });
    cluster.store(1).mishaps.push(busy, busy);
    await cluster.settle(cluster.router().put(WRITE, { deadline: 5000 }));
    assert.deepEqual(cluster.calls, [1, 1, 1]);
    assert.ok(cluster.clock.now() >= 600);
  });

  test('a caller that goes away ends the wait at once; what was sent may have happened', async () => {
    const cluster = new TestCluster();
    cluster.addShard({ id: 1 }, 1);
    for (const storeId of [1, 2, 3]) cluster.silent.add(storeId);
    const controller = new AbortController();
    const router = cluster.router();
    cluster.clock.after(100, () => controller.abort());
    const context = { deadline: 60_000, signal: controller.signal };
    const error = await failureOf(cluster.settle(router.put(WRITE, context)));
    assert.equal(error.outcome, 'unknown');
    assert.ok(cluster.clock.now() < 110);
    assert.equal(router.inFlight, 0);
  });

  test('a caller that goes away before anything was sent knows that nothing happened', async () => {
    const cluster = new TestCluster();
    cluster.addShard({ id: 1 }, 1);
    for (const storeId of [1, 2, 3]) cluster.dead.add(storeId);
    const controller = new AbortController();
    cluster.clock.after(500, () => controller.abort());
    const context = { deadline: 60_000, signal: controller.signal };
    const error = await failureOf(cluster.settle(cluster.router().put(WRITE, context)));
    assert.equal(error.outcome, 'not-applied');
    assert.ok(cluster.clock.now() < 510);
  });

  test('more requests than the bound are refused without touching the network', async () => {
    const cluster = new TestCluster();
    cluster.addShard({ id: 1 }, 1);
    const router = cluster.router({ limits: { requestsInFlight: 2 } });
    const context = { deadline: 5000 };
    const admitted = [router.get(KEY, context), router.get(KEY, context)];
    const error = await failureOf(router.get(KEY, context));
    assert.equal(error.code, 'OVERLOADED');
    await cluster.settle(Promise.all(admitted));
    await cluster.settle(router.get(KEY, context));
  });

  test('many callers of an unknown key ask Prophet once', async () => {
    const cluster = new TestCluster();
    cluster.addShard({ id: 1 }, 1);
    const router = cluster.router();
    const reads = Array.from({ length: 50 }, () => router.get(KEY, { deadline: 5000 }));
    await cluster.settle(Promise.all(reads));
    assert.equal(cluster.prophetAsked, 1);
  });

  test('requests wait for a cluster that is just starting', async () => {
    const cluster = new TestCluster();
    cluster.clock.after(700, () => cluster.addShard({ id: 1 }, 1));
    const result = await cluster.settle(cluster.router().put(WRITE, { deadline: 5000 }));
    assert.equal(result.applied, true);
  });

  test('a bug in the store is not taken for a refusal', async () => {
    const cluster = new TestCluster();
    cluster.addShard({ id: 1 }, 1);
    const store = cluster.store(1);
    store.get = () => Promise.reject(new TypeError('A bug'));
    await assert.rejects(
      cluster.settle(cluster.router({ at: 1 }).get(KEY, { deadline: 5000 })),
      TypeError,
    );
  });
});
