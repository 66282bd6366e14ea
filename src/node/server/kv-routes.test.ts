import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startTestServer } from './memory-services-suite.ts';

const put = (body: BodyInit, headers: Record<string, string> = {}): RequestInit => ({
  method: 'PUT',
  body,
  headers,
});

async function bodyOf(response: Response): Promise<Uint8Array> {
  return new Uint8Array(await response.arrayBuffer());
}

test('PUT creates with 201 and overwrites with 200, and tells the version as ETag', async () => {
  const { fetch } = await startTestServer();
  const created = await fetch('/v1/kv/a', put('one'));
  assert.equal(created.status, 201);
  assert.equal(created.headers.get('etag'), '"1"');
  assert.deepEqual(await created.json(), { version: 1, existed: false });
  const changed = await fetch('/v1/kv/a', put('two'));
  assert.equal(changed.status, 200);
  assert.deepEqual(await changed.json(), { version: 2, existed: true });
  const got = await fetch('/v1/kv/a');
  assert.equal(got.status, 200);
  assert.equal(got.headers.get('etag'), '"2"');
  assert.equal(got.headers.get('content-type'), 'application/octet-stream');
  assert.equal(await got.text(), 'two');
});

test('any bytes make a key and a value, of any content type and none', async () => {
  const { fetch } = await startTestServer();
  const everyByte = Uint8Array.from({ length: 256 }, (_, byte) => byte);
  const key = [...everyByte].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
  const types = ['', 'application/json', 'text/plain', 'multipart/form-data', ';; not a type'];
  for (const type of types) {
    const headers = type === '' ? {} : { 'content-type': type };
    const written = await fetch(`/v1/kv/${key}`, put(everyByte, headers));
    assert.ok(written.ok, type);
    assert.deepEqual(await bodyOf(await fetch(`/v1/kv/${key}`)), everyByte);
  }
});

test('different spellings of the same bytes are the same key, and only those', async () => {
  const { fetch, kv } = await startTestServer();
  await fetch('/v1/kv/a%2Fb', put('slash'));
  assert.equal(await (await fetch('/v1/kv/a/b')).text(), 'slash');
  assert.equal(await (await fetch('/v1/kv/%61%2fb')).text(), 'slash');
  assert.equal((await fetch('/v1/kv/a+b')).status, 404);
  await fetch('/v1/kv/%00', put('zero'));
  assert.equal((await fetch('/v1/kv/%00%00')).status, 404);
  await fetch('/v1/kv/%252F', put('percent'));
  assert.equal((await fetch('/v1/kv/%2F')).status, 404);
  assert.equal(kv.size, 3);
});

test('an empty value is a value', async () => {
  const { fetch } = await startTestServer();
  assert.equal((await fetch('/v1/kv/empty', put(''))).status, 201);
  const got = await fetch('/v1/kv/empty');
  assert.equal(got.status, 200);
  assert.equal((await bodyOf(got)).length, 0);
});

test('a missing key is 404 with a code', async () => {
  const { fetch } = await startTestServer();
  const missing = await fetch('/v1/kv/nothing');
  assert.equal(missing.status, 404);
  assert.deepEqual(await missing.json(), {
    error: 'Key is not there',
    code: 'NOT_FOUND',
    retry: 'no',
    outcome: 'not-applied',
  });
  assert.equal((await fetch('/v1/kv/nothing', { method: 'HEAD' })).status, 404);
});

test('HEAD tells version and length without the value', async () => {
  const { fetch } = await startTestServer();
  await fetch('/v1/kv/a', put('value'));
  const head = await fetch('/v1/kv/a', { method: 'HEAD' });
  assert.equal(head.status, 200);
  assert.equal(head.headers.get('etag'), '"1"');
  assert.equal(head.headers.get('content-length'), '5');
  assert.equal(await head.text(), '');
});

test('DELETE answers 204 whether the key was there or not, and tells which', async () => {
  const { fetch, kv } = await startTestServer();
  await fetch('/v1/kv/a', put('value'));
  const removed = await fetch('/v1/kv/a', { method: 'DELETE' });
  assert.equal(removed.status, 204);
  assert.equal(removed.headers.get('x-existed'), 'true');
  assert.equal(removed.headers.get('x-version'), '2');
  assert.equal(kv.size, 0);
  const again = await fetch('/v1/kv/a', { method: 'DELETE' });
  assert.equal(again.status, 204);
  assert.equal(again.headers.get('x-existed'), 'false');
});

test('If-Match writes over exactly that version, and 412 tells the current one', async () => {
  const { fetch } = await startTestServer();
  await fetch('/v1/kv/a', put('one'));
  await fetch('/v1/kv/a', put('two'));
  const stale = await fetch('/v1/kv/a', put('three', { 'if-match': '"1"' }));
  assert.equal(stale.status, 412);
  assert.equal(stale.headers.get('etag'), '"2"');
  assert.deepEqual(await stale.json(), {
    version: 2,
    error: 'Nothing was written as the version is 2',
    code: 'PRECONDITION_FAILED',
    retry: 'no',
    outcome: 'not-applied',
  });
  const fresh = await fetch('/v1/kv/a', put('three', { 'if-match': '"2"' }));
  assert.equal(fresh.status, 200);
  assert.equal(await (await fetch('/v1/kv/a')).text(), 'three');
  const staleDelete = await fetch('/v1/kv/a', { method: 'DELETE', headers: { 'if-match': '"2"' } });
  assert.equal(staleDelete.status, 412);
  const freshDelete = await fetch('/v1/kv/a', { method: 'DELETE', headers: { 'if-match': '"3"' } });
  assert.equal(freshDelete.status, 204);
});

test('If-None-Match: * creates only, If-Match: * changes only', async () => {
  const { fetch } = await startTestServer();
  const tooEarly = await fetch('/v1/kv/a', put('x', { 'if-match': '*' }));
  assert.equal(tooEarly.status, 412);
  assert.equal(tooEarly.headers.get('etag'), null);
  assert.partialDeepStrictEqual(await tooEarly.json(), { version: 0 });
  const created = await fetch('/v1/kv/a', put('x', { 'if-none-match': '*' }));
  assert.equal(created.status, 201);
  const twice = await fetch('/v1/kv/a', put('y', { 'if-none-match': '*' }));
  assert.equal(twice.status, 412);
  const changed = await fetch('/v1/kv/a', put('y', { 'if-match': '*' }));
  assert.equal(changed.status, 200);
});

test('a precondition that is not understood is refused, never ignored', async () => {
  const { fetch, kv } = await startTestServer();
  const wrong: Record<string, string>[] = [
    { 'if-match': '17' },
    { 'if-match': 'W/"17"' },
    { 'if-match': '"0"' },
    { 'if-match': '"01"' },
    { 'if-match': '"1", "2"' },
    { 'if-match': '"9007199254740993"' },
    { 'if-match': '' },
    { 'if-none-match': '"1"' },
    { 'if-match': '*', 'if-none-match': '*' },
  ];
  for (const headers of wrong) {
    const refused = await fetch('/v1/kv/a', put('x', headers));
    assert.equal(refused.status, 400, JSON.stringify(headers));
    assert.partialDeepStrictEqual(await refused.json(), { code: 'INVALID_ARGUMENT' });
  }
  assert.deepEqual(kv.calls, []);
});

test('GET with If-None-Match answers 304 while the version stays', async () => {
  const { fetch } = await startTestServer();
  await fetch('/v1/kv/a', put('one'));
  const get = (tag: string): Promise<Response> =>
    fetch('/v1/kv/a', { headers: { 'if-none-match': tag } });
  for (const tag of ['"1"', 'W/"1"', '"7", "1"', '*']) {
    const same = await get(tag);
    assert.equal(same.status, 304, tag);
    assert.equal(same.headers.get('etag'), '"1"');
    assert.equal(await same.text(), '');
  }
  assert.equal((await get('"2"')).status, 200);
});

test('keys of 1 byte and 4096 bytes are taken, of 0 and 4097 refused', async () => {
  const { fetch, kv } = await startTestServer();
  assert.equal((await fetch(`/v1/kv/${'%FF'.repeat(4096)}`, put('x'))).status, 201);
  assert.equal((await fetch('/v1/kv/k', put('x'))).status, 201);
  const long = await fetch(`/v1/kv/${'%FF'.repeat(4097)}`, put('x'));
  assert.equal(long.status, 413);
  assert.match(await long.text(), /at most 4096/);
  const empty = await fetch('/v1/kv/', put('x'));
  assert.equal(empty.status, 400);
  assert.equal(kv.calls.length, 2);
});

test('a broken percent escape and an unknown parameter are refused', async () => {
  const { fetch, kv } = await startTestServer();
  for (const path of ['/v1/kv/%', '/v1/kv/a%2', '/v1/kv/%GG', '/v1/kv/a?prefix=b']) {
    const refused = await fetch(path, put('x'));
    assert.equal(refused.status, 400, path);
    assert.partialDeepStrictEqual(await refused.json(), { code: 'INVALID_ARGUMENT' });
  }
  const body = await fetch('/v1/kv/a', { method: 'DELETE', body: 'x' });
  assert.equal(body.status, 400);
  assert.deepEqual(kv.calls, []);
});
