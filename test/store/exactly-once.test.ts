// Lesson 4: a write whose answer is lost is sent again, and happens once. Ancestor defect 7: a read
// looks at the shard as it is when it is carried out.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EMPTY, utf8 } from '../../src/kernel/bytes.ts';
import { MatrixError } from '../../src/kernel/errors.ts';
import type { WriteCommand } from '../../src/node/shard/commands.ts';
import type { WriteResult } from '../../src/node/shard/kv-types.ts';
import { StoreCluster, type TestNode } from './store-cluster.ts';

async function threeStores(): Promise<StoreCluster> {
  const cluster = new StoreCluster();
  for (const storeId of [1, 2, 3]) await cluster.add(storeId);
  await cluster.bootstrap([1, 2, 3]);
  return cluster;
}

/** Sends a write to the leader of its key, under the generation of the moment. */
async function send(cluster: StoreCluster, command: WriteCommand): Promise<WriteResult> {
  const { node, shard } = await cluster.leaderAt(Buffer.from(command.key).toString());
  const { id, epoch } = shard.meta;
  const request = { shardId: id, command: { ...command, generation: epoch.generation } };
  return cluster.settle(node.store.write(request, node.clock.now() + 10_000));
}

async function errorOf(promise: Promise<unknown>): Promise<MatrixError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof MatrixError, String(error));
  return error;
}

async function splitAt(cluster: StoreCluster, node: TestNode, key: string): Promise<void> {
  const before = node.store.shards().length;
  const epoch = node.store.shard(1)?.meta.epoch;
  assert.ok(epoch);
  const step = { type: 'split', shardId: 1, epoch, keys: [utf8(key)] } as const;
  assert.equal(node.store.takeStep(step).type, 'taken');
  await cluster.until(() => node.store.shards().length > before, 'the shard is split');
}

test('lesson 4: a write that its leader could not answer is applied once under the next one', async () => {
  const cluster = await threeStores();
  await cluster.put('a', '0');
  const { node } = await cluster.leaderOf(1);
  const command = {
    ...cluster.command('a', '1', 1),
    precondition: { type: 'version', version: 1 },
  } as const;
  const first = node.store.write({ shardId: 1, command }, node.clock.now() + 10_000);
  first.catch(() => {});
  // The followers have it, and nobody hears of that any more.
  let stored = 0;
  cluster.allow = ({ message }) => {
    if (message.type === 'append-response') stored += 1;
    return message.type !== 'append-response';
  };
  await cluster.until(() => stored >= 2, 'the followers have stored it');
  cluster.kill(node.storeId);
  cluster.allow = () => true;
  const again = await send(cluster, command);
  assert.deepEqual(again, { applied: true, existed: true, version: 2 });
  assert.deepEqual(await send(cluster, command), again);
  assert.equal(await cluster.get('a'), '1');
  const next = await cluster.put('a', '2');
  assert.equal(next.version, 3, 'nothing was applied in between');
  // Its first leader learns of it as well.
  await cluster.add(node.storeId);
  await cluster.run(3000);
  const { meta } = (await cluster.leaderOf(1)).shard;
  const states = await Promise.all([1, 2, 3].map((id) => cluster.stateOf(id, meta)));
  for (const state of states) assert.equal(state, states[0]);
});

test('lesson 4: a call that is repeated behind a split gets its answer from the new shard', async () => {
  const cluster = await threeStores();
  const command = { ...cluster.command('a', '1', 1), precondition: { type: 'absent' } } as const;
  const first = await send(cluster, command);
  const { node } = await cluster.leaderOf(1);
  await splitAt(cluster, node, 'm');
  assert.deepEqual(await send(cluster, command), first);
  const right = { ...command, key: utf8('z') };
  assert.deepEqual(await send(cluster, right), first, 'the old shard remembers it too');
});

test('lesson 4: a leader that is cut off does not know the fate of its writes', async () => {
  const cluster = await threeStores();
  await cluster.put('a', '0');
  const { node } = await cluster.leaderOf(1);
  const isCutOff = (storeId: number): boolean => storeId === node.storeId;
  cluster.allow = ({ from, to }) => isCutOff(from.storeId) === isCutOff(to.storeId);
  const command = cluster.command('a', '1', 1);
  const write = errorOf(node.store.write({ shardId: 1, command }, node.clock.now() + 60_000));
  const read = errorOf(
    node.store.get({ shardId: 1, generation: 1, key: utf8('a') }, node.clock.now() + 60_000),
  );
  const others = (): boolean =>
    [...cluster.nodes.values()].some(
      (one) => one !== node && one.store.shard(1)?.isLeader === true,
    );
  await cluster.until(others, 'the others elect');
  cluster.allow = () => true;
  const [writeError, readError] = await cluster.settle(Promise.all([write, read]));
  assert.deepEqual([writeError.code, writeError.outcome], ['OUTCOME_UNKNOWN', 'unknown']);
  assert.equal(readError.outcome, 'not-applied');
  assert.equal(readError.code, 'NOT_LEADER');
  await cluster.run(3000);
  assert.equal(await cluster.get('a'), '0', 'it was overwritten');
});

test('ancestor defect 7: a read whose key was split away while it waited is refused', async () => {
  const cluster = await threeStores();
  await cluster.put('a', '1');
  await cluster.put('z', '1');
  const { node } = await cluster.leaderOf(1);
  // The answers to the read rounds are held until the shard is split.
  cluster.allow = ({ message }) => message.type !== 'heartbeat-response';
  const deadline = node.clock.now() + 10_000;
  const get = errorOf(node.store.get({ shardId: 1, generation: 1, key: utf8('a') }, deadline));
  const scan = { start: EMPTY, end: EMPTY, limit: 10, reverse: false, keysOnly: false };
  const list = errorOf(node.store.scan({ shardId: 1, generation: 1, scan }, deadline));
  const right = errorOf(node.store.get({ shardId: 1, generation: 1, key: utf8('z') }, deadline));
  await splitAt(cluster, node, 'm');
  cluster.allow = () => true;
  for (const error of await cluster.settle(Promise.all([get, list, right]))) {
    assert.equal(error.code, 'EPOCH_NOT_MATCH');
    assert.ok((error.hint?.shards ?? []).length > 0, 'lesson 10: it says where to ask');
  }
  assert.equal(await cluster.get('a'), '1');
  assert.equal(await cluster.get('z'), '1');
});

test('a write that a split overtakes in the log is refused when it is applied', async () => {
  const cluster = await threeStores();
  const { node } = await cluster.leaderOf(1);
  await cluster.put('b', '1');
  cluster.allow = ({ message }) => message.type !== 'append-response';
  const epoch = node.store.shard(1)?.meta.epoch;
  assert.ok(epoch);
  node.store.takeStep({ type: 'split', shardId: 1, epoch, keys: [utf8('m')] });
  await cluster.run(50);
  const deadline = node.clock.now() + 10_000;
  const writes = ['a', 'z'].map((key) =>
    errorOf(node.store.write({ shardId: 1, command: cluster.command(key, 'x', 1) }, deadline)),
  );
  await cluster.run(50);
  cluster.allow = () => true;
  const errors = await cluster.settle(Promise.all(writes));
  assert.deepEqual(
    errors.map(({ code, outcome }) => [code, outcome]),
    [
      ['EPOCH_NOT_MATCH', 'not-applied'],
      ['EPOCH_NOT_MATCH', 'not-applied'],
    ],
  );
  assert.equal(await cluster.get('a'), undefined);
  assert.equal(await cluster.get('z'), undefined);
});

test('ancestor defect 4: a shard with an empty value is carried over in a snapshot', async () => {
  const cluster = await threeStores();
  await cluster.put('a', '');
  await cluster.put('', 'empty key');
  await cluster.add(4);
  await cluster.changeMembers(1, { type: 'add-learner', replicaId: 20, storeId: 4 });
  await cluster.until(() => cluster.nodes.get(4)?.store.shard(1)?.keys === 2, 'store 4 has it');
  await cluster.run(1000);
  const { shard, node } = await cluster.leaderOf(1);
  assert.equal(
    await cluster.stateOf(4, shard.meta),
    await cluster.stateOf(node.storeId, shard.meta),
  );
  assert.equal(await cluster.get('a'), '');
});

test('ancestor defect 12: bytes that are no command are answered and kill no store', async () => {
  const cluster = await threeStores();
  const { node } = await cluster.leaderOf(1);
  const replica = node.store.replica(1);
  assert.ok(replica);
  for (const bytes of [EMPTY, Uint8Array.of(1, 3), Uint8Array.of(1, 1, 0), Buffer.alloc(200, 7)]) {
    const answer = new Promise<Uint8Array>((resolve, reject) => {
      replica.propose(bytes, { deadline: node.clock.now() + 5000, resolve, reject });
      node.store.wake(replica);
    });
    assert.ok((await cluster.settle(answer)).length > 0);
  }
  await cluster.put('a', '1');
  await cluster.run(1000);
  assert.deepEqual(cluster.failures, []);
  for (const one of cluster.nodes.values()) assert.equal(one.store.shard(1)?.keys, 1);
});
