import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestServer } from './memory-services-suite.ts';
import { startTestServer } from './memory-services-suite.ts';

interface Page {
  readonly items: readonly {
    readonly key: string;
    readonly value?: string;
    readonly encoding?: string;
    readonly version: number;
  }[];
  readonly next?: string;
}

async function scan({ fetch }: TestServer, query: string): Promise<Page> {
  const response = await fetch(`/v1/kv${query}`);
  const page = await response.json();
  assert.equal(response.status, 200, JSON.stringify(page));
  return page;
}

/** Follows the pages to the end. */
async function scanAll(server: TestServer, query: string): Promise<string[]> {
  const keys: string[] = [];
  let page = await scan(server, `?${query}`);
  for (let pages = 0; ; pages += 1) {
    assert.ok(pages < 50, 'The scan does not end');
    keys.push(...page.items.map(({ key }) => key));
    if (page.next === undefined) return keys;
    page = await scan(server, `?${query}&continue=${page.next}`);
  }
}

async function fill(...keys: string[]): Promise<TestServer> {
  const server = await startTestServer();
  for (const key of keys) {
    await server.fetch(`/v1/kv/${key}`, { method: 'PUT', body: `value of ${key}` });
  }
  return server;
}

test('a scan gives keys, values and versions in byte order', async () => {
  const server = await fill('b', 'a', '%C3%A4', 'B');
  const { items, next } = await scan(server, '');
  assert.deepEqual(
    items.map(({ key }) => key),
    ['B', 'a', 'b', 'ä'],
  );
  assert.deepEqual(items[1], { key: 'a', value: 'value of a', version: 2 });
  assert.equal(next, undefined);
});

test('pages joined together are the whole range, forward and in reverse', async () => {
  const keys = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
  const server = await fill(...keys);
  for (const limit of [1, 2, 3, 6, 7, 8]) {
    assert.deepEqual(await scanAll(server, `limit=${limit}`), keys);
    assert.deepEqual(await scanAll(server, `limit=${limit}&reverse`), keys.toReversed());
  }
});

test('prefix, start and end narrow the range together', async () => {
  const server = await fill('a', 'b', 'ba', 'bb', 'bc', 'c', 'd');
  const cases: [string, string[]][] = [
    ['prefix=b', ['b', 'ba', 'bb', 'bc']],
    ['prefix=b&start=ba', ['ba', 'bb', 'bc']],
    ['prefix=b&end=bb', ['b', 'ba']],
    ['prefix=b&start=a&end=d', ['b', 'ba', 'bb', 'bc']],
    ['prefix=b&start=c', []],
    ['start=bc', ['bc', 'c', 'd']],
    ['end=b', ['a']],
    ['start=b&end=b', []],
    ['start=d&end=a', []],
    ['prefix=x', []],
  ];
  for (const [query, keys] of cases) {
    assert.deepEqual(await scanAll(server, `${query}&limit=2`), keys, query);
    assert.deepEqual(
      await scanAll(server, `${query}&limit=2&reverse=true`),
      keys.toReversed(),
      query,
    );
  }
});

test('a prefix of bytes 0xff has no end', async () => {
  const server = await fill('a', '%FF', '%FF%FF', '%FF%FF%00');
  const { items } = await scan(server, '?prefix=%FF%FF&encoding=base64');
  assert.deepEqual(
    items.map(({ key }) => key),
    ['//8=', '//8A'],
  );
});

test('what is not text comes in base64, item by item, or all of it when asked', async () => {
  const server = await startTestServer();
  await server.fetch('/v1/kv/text', { method: 'PUT', body: 'text' });
  await server.fetch('/v1/kv/text2', { method: 'PUT', body: Uint8Array.of(0xff) });
  const mixed = await scan(server, '');
  assert.deepEqual(mixed.items, [
    { key: 'text', value: 'text', version: 1 },
    { key: 'dGV4dDI=', value: '/w==', encoding: 'base64', version: 2 },
  ]);
  const all = await scan(server, '?encoding=base64&limit=1');
  assert.deepEqual(all.items, [
    { key: 'dGV4dA==', value: 'dGV4dA==', encoding: 'base64', version: 1 },
  ]);
});

test('keysOnly leaves the values out', async () => {
  const server = await fill('a');
  for (const flag of ['keysOnly', 'keysOnly=true', 'keysOnly=1']) {
    assert.deepEqual((await scan(server, `?${flag}`)).items, [{ key: 'a', version: 1 }]);
  }
  const { items } = await scan(server, '?keysOnly=false');
  assert.equal(items[0]?.value, 'value of a');
});

test('without a limit a page has 100 keys', async () => {
  const keys = Array.from({ length: 101 }, (_, index) => `k${String(index).padStart(3, '0')}`);
  const server = await fill(...keys);
  const page = await scan(server, '');
  assert.equal(page.items.length, 100);
  assert.notEqual(page.next, undefined);
  assert.deepEqual(await scanAll(server, 'limit=1000'), keys);
});

test('what cannot be meant is refused', async () => {
  const server = await fill('a', 'b');
  const { next } = await scan(server, '?limit=1');
  const wrong = [
    'limit=0',
    'limit=1001',
    'limit=-1',
    'limit=1.5',
    'limit=ten',
    'reverse=maybe',
    'encoding=hex',
    'perfix=a',
    'prefix=a&prefix=b',
    'start=%F',
    'continue=',
    'continue=%21%21',
    `continue=${next}x%3D`,
    `continue=${next}&reverse`,
  ];
  const before = server.kv.calls.length;
  for (const query of wrong) {
    const refused = await server.fetch(`/v1/kv?${query}`);
    assert.equal(refused.status, 400, query);
    assert.partialDeepStrictEqual(await refused.json(), { code: 'INVALID_ARGUMENT' });
  }
  const long = await server.fetch(`/v1/kv?start=${'k'.repeat(4098)}`);
  assert.equal(long.status, 413);
  assert.equal(server.kv.calls.length, before);
});
