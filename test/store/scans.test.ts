import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareBytes } from '../../src/kernel/bytes.ts';
import { MatrixError } from '../../src/kernel/errors.ts';
import type { ScanResult } from '../../src/node/shard/kv-types.ts';
import { StoreCluster } from './store-cluster.ts';

const KEYS = ['a', 'b', 'f', 'fa', 'g', 'o', 'p', 'pp', 'z'];

/** One store with the shards ["", f), [f, p) and [p, ""). */
async function threeShards(): Promise<StoreCluster> {
  const cluster = new StoreCluster();
  const { store } = await cluster.add(1);
  await cluster.bootstrap([1]);
  await cluster.fill(KEYS, 'v');
  const { shard } = await cluster.leaderOf(1);
  const keys = ['f', 'p'].map((key) => Buffer.from(key));
  store.takeStep({ type: 'split', shardId: 1, epoch: shard.meta.epoch, keys });
  await cluster.until(() => store.shards().length === 3, 'three shards');
  const isLed = (): boolean => store.shards().every(({ isLeader }) => isLeader);
  await cluster.until(isLed, 'all are led');
  return cluster;
}

interface Range {
  readonly start: string;
  readonly end: string;
  readonly reverse?: boolean;
  readonly limit?: number;
}

function scanShard(cluster: StoreCluster, position: number, range: Range): Promise<ScanResult> {
  const node = cluster.nodes.get(1);
  const shard = node?.store.shards()[position];
  assert.ok(node && shard);
  const scan = {
    start: Buffer.from(range.start),
    end: Buffer.from(range.end),
    limit: range.limit ?? 100,
    reverse: range.reverse ?? false,
    keysOnly: false,
  };
  const { id, epoch } = shard.meta;
  const request = { shardId: id, generation: epoch.generation, scan };
  return cluster.settle(node.store.scan(request, node.clock.now() + 10_000));
}

/** Follows `next` over all shards as a client does, with the position of the shard that holds it. */
async function scanAll(cluster: StoreCluster, range: Range): Promise<string[]> {
  const shards = cluster.nodes.get(1)?.store.shards() ?? [];
  const found: string[] = [];
  let rest: Range | undefined = range;
  for (let page = 0; rest !== undefined; page += 1) {
    assert.ok(page < 50, 'The scan does not end');
    const wanted: Range = rest;
    const position = shards.findIndex(({ meta }) => {
      const [start, end] = [Buffer.from(wanted.start), Buffer.from(wanted.end)];
      if (wanted.reverse !== true)
        return meta.end.length === 0 || compareBytes(start, meta.end) < 0;
      return meta.end.length === 0 || (end.length > 0 && compareBytes(end, meta.end) <= 0);
    });
    const { items, next } = await scanShard(cluster, position, wanted);
    for (const { key, value } of items) {
      found.push(Buffer.from(key).toString());
      assert.equal(Buffer.from(value).toString(), 'v');
    }
    if (next === undefined) return found;
    const border = Buffer.from(next).toString();
    rest = wanted.reverse === true ? { ...wanted, end: border } : { ...wanted, start: border };
  }
  return found;
}

test('pages go on over the borders of shards, forwards and backwards', async () => {
  const cluster = await threeShards();
  const ranges = [
    ['', ''],
    ['a', 'p'],
    ['b', 'pp'],
    ['f', 'p'],
    ['fa', 'z'],
    ['e', 'f'],
    ['p', ''],
    ['c', 'e'],
  ] as const;
  for (const [start, end] of ranges) {
    const wanted = KEYS.filter((key) => key >= start && (end === '' || key < end));
    for (const limit of [1, 2, 3, 100]) {
      assert.deepEqual(await scanAll(cluster, { start, end, limit }), wanted, `${start} ${end}`);
      const backwards = await scanAll(cluster, { start, end, limit, reverse: true });
      assert.deepEqual(backwards, wanted.toReversed(), `${end} down to ${start} by ${limit}`);
    }
  }
});

test('a shard that does not hold the beginning of the range refuses, rather than skip it', async () => {
  const cluster = await threeShards();
  const wrong: readonly (readonly [number, Range])[] = [
    [1, { start: 'b', end: 'z' }],
    [2, { start: 'b', end: '' }],
    [0, { start: 'g', end: 'h' }],
    [1, { start: 'b', end: 'z', reverse: true }],
    [0, { start: '', end: 'g', reverse: true }],
    [1, { start: '', end: '', reverse: true }],
    [2, { start: 'a', end: 'p', reverse: true }],
  ];
  for (const [position, range] of wrong) {
    const error = await scanShard(cluster, position, range).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof MatrixError, `${position} ${JSON.stringify(range)}`);
    assert.equal(error.code, 'EPOCH_NOT_MATCH');
  }
});

test('a page ends at its size, and at least one item is in it', async () => {
  const cluster = await threeShards();
  const large = 'x'.repeat(700 * 1024);
  for (const key of ['ga', 'gb', 'gc']) await cluster.put(key, large);
  const { items, next } = await scanShard(cluster, 1, { start: 'ga', end: 'h' });
  assert.ok(items.length < 3 && items.length > 0);
  assert.ok(next !== undefined);
});
