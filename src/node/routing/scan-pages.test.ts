import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EMPTY, utf8 } from '../../kernel/bytes.ts';
import { MatrixError } from '../../kernel/errors.ts';
import type { ScanRequest, ScanResult } from '../shard/kv-types.ts';
import { TestCluster } from './cluster-suite.ts';
import type { Router } from './router.ts';

const KEYS = Array.from({ length: 26 }, (_, index) => String.fromCharCode(97 + index));

/** Five shards on three stores, led by different ones, with a key for each letter. */
function fiveShards(): TestCluster {
  const cluster = new TestCluster();
  const group = cluster.addShard({ id: 1 }, 1);
  for (const [index, key] of ['e', 'j', 'o', 't'].entries()) {
    cluster.elect(cluster.split(group, utf8(key), 10 + index), 1 + (index % 3));
  }
  for (const key of KEYS) {
    cluster.data.set(key, { key: utf8(key), value: utf8(`value of ${key}`), version: 1 });
  }
  return cluster;
}

function request(fields: Partial<ScanRequest> = {}): ScanRequest {
  return { start: EMPTY, end: EMPTY, limit: 100, reverse: false, keysOnly: false, ...fields };
}

function keysOf(result: ScanResult): string {
  return result.items.map(({ key }) => Buffer.from(key).toString()).join('');
}

function scan(cluster: TestCluster, router: Router, wanted: ScanRequest): Promise<ScanResult> {
  return cluster.settle(router.scan(wanted, { deadline: cluster.clock.now() + 10_000 }));
}

describe('scan', () => {
  test('one call goes over five shards in key order', async () => {
    const cluster = fiveShards();
    const result = await scan(cluster, cluster.router(), request());
    assert.equal(keysOf(result), KEYS.join(''));
    assert.equal(result.next, undefined);
    assert.equal(Buffer.from(result.items[3]?.value ?? EMPTY).toString(), 'value of d');
  });

  test('backwards it goes over the same shards in the opposite order', async () => {
    const cluster = fiveShards();
    const result = await scan(cluster, cluster.router(), request({ reverse: true }));
    assert.equal(keysOf(result), KEYS.toReversed().join(''));
    assert.equal(result.next, undefined);
  });

  test('both bounds hold in both directions, also where shards begin and end', async () => {
    const cluster = fiveShards();
    const router = cluster.router();
    const range = { start: utf8('e'), end: utf8('o') };
    assert.equal(keysOf(await scan(cluster, router, request(range))), 'efghijklmn');
    const backwards = await scan(cluster, router, request({ ...range, reverse: true }));
    assert.equal(keysOf(backwards), 'nmlkjihgfe');
    const within = { start: utf8('f'), end: utf8('h') };
    assert.equal(keysOf(await scan(cluster, router, request({ ...within, reverse: true }))), 'gf');
  });

  test('pages follow each other without hole or repetition, whatever their size', async () => {
    const cluster = fiveShards();
    const router = cluster.router();
    for (const limit of [1, 3, 5, 7, 25, 26]) {
      for (const reverse of [false, true]) {
        let wanted = request({ limit, reverse });
        let keys = '';
        for (;;) {
          const page = await scan(cluster, router, wanted);
          assert.ok(page.items.length <= limit);
          keys += keysOf(page);
          if (page.next === undefined) break;
          wanted = { ...wanted, ...(reverse ? { end: page.next } : { start: page.next }) };
        }
        assert.equal(keys, (reverse ? KEYS.toReversed() : KEYS).join(''), `limit ${limit}`);
      }
    }
  });

  test('a page ends when it is large enough, and the next one goes on right there', async () => {
    const cluster = fiveShards();
    const router = cluster.router({ limits: { scanBytes: 60 } });
    for (const reverse of [false, true]) {
      const page = await scan(cluster, router, request({ reverse }));
      assert.equal(page.items.length, 5);
      assert.ok(page.next !== undefined);
      const rest = reverse ? { end: page.next } : { start: page.next };
      const following = await scan(cluster, router, request({ reverse, ...rest }));
      assert.equal(keysOf(page) + keysOf(following), reverse ? 'zyxwvutsrq' : 'abcdefghij');
    }
  });

  test('a scan visits so many shards and then says where to go on', async () => {
    const cluster = fiveShards();
    const router = cluster.router({ limits: { scanShards: 2 } });
    const page = await scan(cluster, router, request());
    assert.equal(keysOf(page), 'abcdefghi');
    assert.equal(Buffer.from(page.next ?? EMPTY).toString(), 'j');
  });

  test('shards that were split since the route was learnt are scanned without a hole', async () => {
    const cluster = fiveShards();
    const router = cluster.router();
    await scan(cluster, router, request());
    cluster.prophetRoutes = 'away';
    const last = cluster.groups.find(({ meta }) => meta.id === 1);
    assert.ok(last);
    for (const [index, key] of ['v', 'x'].entries()) cluster.split(last, utf8(key), 20 + index);
    assert.equal(keysOf(await scan(cluster, router, request())), KEYS.join(''));
    const backwards = await scan(cluster, router, request({ reverse: true }));
    assert.equal(keysOf(backwards), KEYS.toReversed().join(''));
  });

  test('a failure in the middle gives what was found and where to go on', async () => {
    const cluster = fiveShards();
    for (const group of cluster.groups) cluster.elect(group, group.meta.id === 11 ? 3 : 1);
    cluster.dead.add(3);
    const page = await scan(cluster, cluster.router(), request());
    assert.equal(keysOf(page), 'abcd');
    assert.equal(Buffer.from(page.next ?? EMPTY).toString(), 'e');
    await assert.rejects(
      scan(cluster, cluster.router(), request({ start: utf8('e') })),
      (error) => error instanceof MatrixError && error.code === 'TIMEOUT',
    );
  });

  test('backwards from an end that is also the border of two shards', async () => {
    const cluster = new TestCluster();
    const border = Uint8Array.of(...utf8('j'), 0);
    cluster.split(cluster.addShard({ id: 1 }, 1), border, 2);
    cluster.data.set('j', { key: utf8('j'), value: EMPTY, version: 1 });
    cluster.data.set('k', { key: utf8('k'), value: EMPTY, version: 1 });
    const page = await scan(cluster, cluster.router(), request({ reverse: true, end: border }));
    assert.equal(keysOf(page), 'j');
    assert.deepEqual(cluster.calls, [1]);
  });

  test('an empty range asks nobody', async () => {
    const cluster = fiveShards();
    const empty = request({ start: utf8('m'), end: utf8('m') });
    assert.deepEqual(await scan(cluster, cluster.router(), empty), { items: [] });
    assert.deepEqual(cluster.calls, []);
  });
});
