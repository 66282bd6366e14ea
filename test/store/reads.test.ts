import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MatrixError } from '../../src/kernel/errors.ts';
import { StoreCluster, type TestNode } from './store-cluster.ts';

const ELECTION_MS = 2000;

async function threeStores(): Promise<StoreCluster> {
  const cluster = new StoreCluster();
  for (const storeId of [1, 2, 3]) await cluster.add(storeId);
  await cluster.bootstrap([1, 2, 3]);
  return cluster;
}

/** The value, or the code of the error. */
function read(node: TestNode, key: string, generation = 1): Promise<string> {
  const request = { shardId: 1, generation, key: Buffer.from(key) };
  return node.store.get(request, node.clock.now() + 60_000).then(
    (result) => (result.found ? Buffer.from(result.value).toString() : 'nothing'),
    (error: unknown) => (error instanceof MatrixError ? error.code : String(error)),
  );
}

test('lesson 2: a leader paused for two election time-outs in the middle of a read answers nothing stale', async () => {
  // The pause begins at different moments of the round of heartbeats that confirms the read.
  for (let beforeMs = 0; beforeMs < 2; beforeMs += 0.1) {
    const cluster = await threeStores();
    await cluster.put('a', 'old');
    const { node } = await cluster.leaderOf(1);
    const begun = read(node, 'a');
    await cluster.run(beforeMs);
    node.clock.pause();
    // Asked while the process stands still: taken in when it goes on, long after the new value.
    const during: Promise<string>[] = [];
    await cluster.run(2 * ELECTION_MS);
    const others = [...cluster.nodes.values()].filter((other) => other !== node);
    const isLed = (): boolean => others.some(({ store }) => store.shard(1)?.isLeader === true);
    await cluster.until(isLed, 'another store leads');
    const next = others.find(({ store }) => store.shard(1)?.isLeader === true);
    assert.ok(next);
    const command = cluster.command('a', 'new', 1);
    await cluster.settle(next.store.write({ shardId: 1, command }, next.clock.now() + 10_000));
    assert.equal(node.store.shard(1)?.isLeader, true);
    for (let count = 0; count < 3; count += 1) during.push(read(node, 'a'));
    node.clock.resume();
    for (let ms = 0; ms < 20; ms += 1) {
      during.push(read(node, 'a'));
      await cluster.run(0.5);
    }
    const answers = await cluster.settle(Promise.all(during));
    for (const answer of answers) assert.ok(answer === 'new' || answer === 'NOT_LEADER', answer);
    // This one was asked before the new value was written, and may have been answered by then.
    assert.ok(['old', 'NOT_LEADER'].includes(await cluster.settle(begun)));
    await cluster.until(() => node.store.shard(1)?.isLeader === false, 'it knows better');
  }
});

test('a read that waits while its shard is split is sent to the right half', async () => {
  const cluster = await threeStores();
  await cluster.fill(['a', 'z'], 'v');
  const { node, shard } = await cluster.leaderOf(1);
  const answers: Promise<string>[] = [];
  const late: string[] = [];
  const ask = (): void => {
    const answer = read(node, 'a');
    answers.push(answer);
    const note = (end: string): void => {
      if (node.store.shard(1)?.meta.epoch.generation !== 1) late.push(end);
    };
    answer.then(note, note);
  };
  const { epoch } = shard.meta;
  node.store.takeStep({ type: 'split', shardId: 1, epoch, keys: [Buffer.from('k')] });
  while (node.store.shards().length === 1) {
    ask();
    await cluster.run(0.1);
  }
  ask();
  const ends = await cluster.settle(Promise.all(answers));
  assert.ok(ends.every((end) => end === 'v' || end === 'EPOCH_NOT_MATCH'));
  assert.ok(late.length > 2, `${late.length} reads had begun before the split`);
  assert.deepEqual(new Set(late), new Set(['EPOCH_NOT_MATCH']));
});

test('lesson 10: a wrong address is answered with all shards of the range that are here', async () => {
  const cluster = await threeStores();
  await cluster.fill(['a', 'm', 'z'], 'v');
  const { node, shard } = await cluster.leaderOf(1);
  const { epoch } = shard.meta;
  const keys = ['f', 'p'].map((key) => Buffer.from(key));
  node.store.takeStep({ type: 'split', shardId: 1, epoch, keys });
  await cluster.until(() => node.store.shards().length === 3, 'three shards');
  const scan = { start: Buffer.from('a'), end: Buffer.from('n'), limit: 10 };
  const request = { shardId: 1, generation: 1, scan: { ...scan, reverse: false, keysOnly: false } };
  const error = await node.store.scan(request, node.clock.now() + 1000).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof MatrixError);
  assert.equal(error.code, 'EPOCH_NOT_MATCH');
  const ends = error.hint?.shards?.map(({ end }) => Buffer.from(end).toString());
  assert.deepEqual(ends, ['f', 'p']);
});

test("requests and steps on Prophet's group are for nobody but Prophet", async () => {
  const cluster = new StoreCluster();
  const node = await cluster.add(1);
  await cluster.bootstrap([1]);
  const command = cluster.command('a', 'v', 1);
  await assert.rejects(node.store.write({ shardId: 0, command }, 1e6), { code: 'SHARD_NOT_FOUND' });
  assert.equal(node.store.shard(0), undefined);
});
