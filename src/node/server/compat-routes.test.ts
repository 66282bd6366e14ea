import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EMPTY } from '../../kernel/bytes.ts';
import { MatrixError } from '../../kernel/errors.ts';
import { startTestServer } from './memory-services-suite.ts';

const post = (body: BodyInit): RequestInit => ({ method: 'POST', body });

test('set, get and delete answer exactly as the ancestor did, and get says whether it found', async () => {
  const { fetch } = await startTestServer();
  const set = await fetch('/set', post('{"key":"k1","value":"v1"}'));
  assert.equal(set.status, 200);
  assert.deepEqual(await set.json(), { key: 'k1', error: '' });
  const got = await fetch('/get?key=k1');
  assert.deepEqual(await got.json(), { key: 'k1', value: 'v1', found: true, error: '' });
  const removed = await fetch('/delete', post('{"key":"k1"}'));
  assert.deepEqual(await removed.json(), { key: 'k1', error: '' });
  const missing = await fetch('/get?key=k1');
  assert.equal(missing.status, 200);
  assert.deepEqual(await missing.json(), { key: 'k1', value: '', found: false, error: '' });
  const again = await fetch('/delete', post('{"key":"k1"}'));
  assert.deepEqual(await again.json(), { key: 'k1', error: '' });
});

test('an empty value is a value and can be told from a missing key', async () => {
  const { fetch } = await startTestServer();
  await fetch('/set', post('{"key":"empty","value":""}'));
  const got = await fetch('/get?key=empty');
  assert.deepEqual(await got.json(), { key: 'empty', value: '', found: true, error: '' });
});

test('keys and values may be any text', async () => {
  const { fetch } = await startTestServer();
  const key = 'käse & 素/\u0000+';
  await fetch('/set', post(JSON.stringify({ key, value: '🧀' })));
  const got = await fetch(`/get?key=${encodeURIComponent(key)}`);
  assert.deepEqual(await got.json(), { key, value: '🧀', found: true, error: '' });
});

test('a value that is not text comes in base64, and says so', async () => {
  const { fetch } = await startTestServer();
  await fetch('/v1/kv/raw', { method: 'PUT', body: Uint8Array.of(0xff, 0x00) });
  const got = await fetch('/get?key=raw');
  assert.deepEqual(await got.json(), {
    key: 'raw',
    value: '/wA=',
    encoding: 'base64',
    found: true,
    error: '',
  });
});

const BROKEN_FOR_BOTH: readonly BodyInit[] = [
  '',
  '{',
  'key=a&value=b',
  '[]',
  'null',
  '"text"',
  '{}',
  '{"value":"v"}',
  '{"key":1,"value":"v"}',
  '{"key":null,"value":"v"}',
  '{"key":"","value":"v"}',
  '{"key":"\\ud800","value":"v"}',
  '{"__proto__":{"key":"k","value":"v"}}',
  Uint8Array.of(...Buffer.from('{"value":"v","key":"'), 0xff, ...Buffer.from('"}')),
];
const BROKEN_FOR_SET: readonly BodyInit[] = ['{"key":"k"}', '{"key":"k","value":7}'];

test('a body that cannot be read writes nothing and is refused (ancestor defect 13)', async () => {
  const { fetch, kv } = await startTestServer();
  const broken = [
    ...BROKEN_FOR_BOTH.map((body) => ({ path: '/delete', body })),
    ...[...BROKEN_FOR_BOTH, ...BROKEN_FOR_SET].map((body) => ({ path: '/set', body })),
  ];
  for (const { path, body } of broken) {
    const refused = await fetch(path, post(body));
    assert.equal(refused.status, 400, `${path} ${String(body)}`);
    const { key, error, ...rest } = await refused.json();
    assert.equal(typeof key, 'string');
    assert.notEqual(error, '');
    assert.deepEqual(rest, { code: 'INVALID_ARGUMENT', retry: 'no', outcome: 'not-applied' });
  }
  assert.deepEqual(kv.calls, []);
  assert.equal(kv.size, 0);
});

test('get refuses a key that is absent, empty, given twice or not text', async () => {
  const { fetch, kv } = await startTestServer();
  for (const query of ['', '?key=', '?key', '?key=a&key=b', '?key=%FF', '?key=%zz', '?x=1']) {
    const refused = await fetch(`/get${query}`);
    assert.equal(refused.status, 400, query);
    assert.partialDeepStrictEqual(await refused.json(), { code: 'INVALID_ARGUMENT' });
  }
  assert.deepEqual(kv.calls, []);
});

test('keys over 4 KiB and values over the limit are refused with the limit in words', async () => {
  const { fetch, kv } = await startTestServer();
  const longKey = 'k'.repeat(4097);
  const long = await fetch('/set', post(JSON.stringify({ key: longKey, value: '' })));
  assert.equal(long.status, 413);
  assert.partialDeepStrictEqual(await long.json(), {
    key: longKey,
    code: 'TOO_LARGE',
    error: 'Key has 4097 bytes, at most 4096 are allowed',
  });
  const value = 'v'.repeat(1024 * 1024 + 1);
  const large = await fetch('/set', post(JSON.stringify({ key: 'k', value })));
  assert.equal(large.status, 413);
  assert.partialDeepStrictEqual(await large.json(), {
    key: 'k',
    error: 'Value has 1048577 bytes, at most 1048576 are allowed',
  });
  assert.deepEqual(kv.calls, []);
});

test('the largest legal value fits, however its text is escaped', async () => {
  const { fetch } = await startTestServer();
  const value = '\u0001'.repeat(1024 * 1024);
  const set = await fetch('/set', post(JSON.stringify({ key: 'k', value })));
  assert.equal(set.status, 200);
});

test('a failure has a proper status, a code, and the key', async () => {
  const { fetch, kv } = await startTestServer();
  kv.failure = new MatrixError('UNAVAILABLE', 'Shard 2 has no leader');
  const refused = await fetch('/set', post('{"key":"k","value":"v"}'));
  assert.equal(refused.status, 503);
  assert.equal(refused.headers.get('retry-after'), '1');
  assert.deepEqual(await refused.json(), {
    key: 'k',
    error: 'Shard 2 has no leader',
    code: 'UNAVAILABLE',
    retry: 'later',
    outcome: 'not-applied',
  });
  kv.failure = new MatrixError('OUTCOME_UNKNOWN', 'The leader went away');
  const unknown = await fetch('/delete', post('{"key":"k"}'));
  assert.equal(unknown.status, 504);
  assert.partialDeepStrictEqual(await unknown.json(), { key: 'k', outcome: 'unknown' });
  const read = await fetch('/get?key=k');
  assert.partialDeepStrictEqual(await read.json(), { key: 'k', code: 'OUTCOME_UNKNOWN' });
});

test('shards have the shape of the ancestor, with more behind it', async () => {
  const { fetch } = await startTestServer();
  const answer = await fetch('/shards');
  assert.deepEqual(await answer.json(), {
    'store-id': 1,
    shards: [
      {
        'shard-id': 2,
        replicas: [
          { 'replica-id': 3, 'store-id': 1, role: 'F' },
          { 'replica-id': 8, 'store-id': 7, role: 'L' },
        ],
        start: '',
        end: '/wE=',
        encoding: 'base64',
        epoch: { generation: 3, 'conf-version': 5 },
      },
    ],
  });
});

test('local is set by any text but the empty one, and no shards are an empty list', async () => {
  const { fetch, admin } = await startTestServer();
  const [shard] = admin.shardViews;
  assert.ok(shard !== undefined);
  const elsewhere = { ...shard, id: 4, start: EMPTY, end: EMPTY };
  admin.shardViews = [{ ...elsewhere, replicas: [{ replicaId: 9, storeId: 7, role: 'voter' }] }];
  const none = { 'store-id': 1, shards: [] };
  for (const local of ['true', 'x', 'false']) {
    assert.deepEqual(await (await fetch(`/shards?local=${local}`)).json(), none);
  }
  const all = await (await fetch('/shards?local=')).json();
  assert.partialDeepStrictEqual(all, { shards: [{ 'shard-id': 4, start: '', end: '' }] });
});
