import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { AssertionError } from '../../kernel/assert.ts';
import { SystemClock } from '../../kernel/clock.ts';
import { MatrixError } from '../../kernel/errors.ts';
import type { Observer } from '../../kernel/observer.ts';
import { SILENT } from '../../kernel/observer.ts';
import { startHttpServer } from './http-server.ts';
import { DEFAULT_SERVER_LIMITS } from './limits.ts';
import { ManualClock, startTestServer } from './memory-services-suite.ts';

/** Sends bytes as they are and answers everything that comes back until the connection closes. */
function exchange(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    let received = '';
    socket.setEncoding('utf8');
    socket.on('data', (chunk) => {
      received += chunk;
    });
    socket.on('close', () => resolve(received));
    socket.on('error', reject);
  });
}

test('an unknown path is 404 and a wrong method 405, both in JSON with a hint', async () => {
  const { fetch } = await startTestServer();
  const unknown = await fetch('/v2/kv/a', { method: 'PUT', body: 'x' });
  assert.equal(unknown.status, 404);
  assert.partialDeepStrictEqual(await unknown.json(), {
    error: 'No such path: /v2/kv/a; GET / lists the routes',
    code: 'UNSUPPORTED',
  });
  const wrong = await fetch('/set');
  assert.equal(wrong.status, 405);
  assert.equal(wrong.headers.get('allow'), 'POST');
  assert.partialDeepStrictEqual(await wrong.json(), { code: 'UNSUPPORTED' });
  const patch = await fetch('/v1/kv/a/b?x=1', { method: 'PATCH', body: 'x' });
  assert.equal(patch.headers.get('allow'), 'GET, HEAD, PUT, DELETE');
  const both = await fetch('/v1/stores/1/drain');
  assert.equal(both.headers.get('allow'), 'POST, DELETE');
});

test('the list of routes points to every route', async () => {
  const { fetch } = await startTestServer();
  const { routes } = await (await fetch('/')).json();
  assert.ok(Array.isArray(routes));
  const paths = routes.map(({ method, path }) => `${method} ${path}`);
  assert.ok(paths.includes('POST /set') && paths.includes('GET /') && paths.length >= 20);
});

test('a body over the limit is refused, whether its length is announced or not', async () => {
  const { fetch, kv } = await startTestServer();
  const bytes = new Uint8Array(1024 * 1024 + 1);
  const announced = await fetch('/v1/kv/a', { method: 'PUT', body: bytes });
  const stream = new Blob([bytes]).stream();
  const asStream = { method: 'PUT', body: stream, duplex: 'half' };
  const streamed = await fetch('/v1/kv/a', asStream);
  for (const refused of [announced, streamed]) {
    assert.equal(refused.status, 413);
    assert.deepEqual(await refused.json(), {
      error: 'Body is too large, at most 1048576 bytes are allowed here',
      code: 'TOO_LARGE',
      retry: 'no',
      outcome: 'not-applied',
    });
  }
  const exact = await fetch('/v1/kv/a', { method: 'PUT', body: bytes.subarray(1) });
  assert.equal(exact.status, 201);
  assert.deepEqual(kv.calls, ['put']);
});

test('the limit of values can be raised to 8 MiB', async () => {
  const bytes = 8 * 1024 * 1024;
  const limits = { ...DEFAULT_SERVER_LIMITS, valueBytesMax: bytes };
  const { fetch } = await startTestServer({ limits });
  const body = new Uint8Array(bytes);
  assert.equal((await fetch('/v1/kv/a', { method: 'PUT', body })).status, 201);
});

test('a body over the limit is refused before it was sent', async () => {
  const { server } = await startTestServer();
  const head = 'PUT /v1/kv/a HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\n';
  assert.match(await exchange(server.port, head), /^HTTP\/1\.1 413 /);
});

test('what is not HTTP, or has too long an address, gets JSON too', async () => {
  const { server, fetch } = await startTestServer();
  const garbage = await exchange(server.port, 'no HTTP at all\r\n\r\n');
  assert.match(garbage, /^HTTP\/1\.1 400 /);
  assert.match(garbage, /"code":"INVALID_ARGUMENT"/);
  const long = await fetch(`/v1/kv/${'k'.repeat(100_000)}`);
  assert.equal(long.status, 431);
  assert.partialDeepStrictEqual(await long.json(), { code: 'TOO_LARGE' });
  const broken = await fetch('/v1/%zz');
  assert.equal(broken.status, 400);
  assert.partialDeepStrictEqual(await broken.json(), { code: 'INVALID_ARGUMENT' });
});

test('beyond the bound of requests in flight a request is told to come back', async () => {
  const limits = { ...DEFAULT_SERVER_LIMITS, requestsInFlightMax: 1 };
  const { fetch, kv } = await startTestServer({ limits });
  const release = kv.hold();
  const arrived = kv.nextCall();
  const first = fetch('/v1/kv/a', { method: 'PUT', body: 'x' });
  await arrived;
  const refused = await fetch('/set', { method: 'POST', body: '{"key":"k","value":"v"}' });
  assert.equal(refused.status, 429);
  assert.equal(refused.headers.get('retry-after'), '1');
  assert.partialDeepStrictEqual(await refused.json(), {
    key: '',
    code: 'OVERLOADED',
    retry: 'later',
    outcome: 'not-applied',
  });
  // A busy node is not a dead one.
  for (const path of ['/livez', '/readyz', '/metrics', '/v1/health', '/']) {
    assert.equal((await fetch(path)).status, 200, path);
  }
  release();
  assert.equal((await first).status, 201);
  assert.equal((await fetch('/v1/kv/a')).status, 200);
  assert.deepEqual(kv.calls, ['put', 'get']);
});

test('bodies have a budget of bytes of their own', async () => {
  const limits = {
    ...DEFAULT_SERVER_LIMITS,
    valueBytesMax: 1000,
    bodyBytesInFlightMax: 32 * 1024,
  };
  const { fetch, kv } = await startTestServer({ limits });
  const release = kv.hold();
  const body = '{"key":"k","value":"v"}'.padEnd(20_000);
  const arrived = kv.nextCall();
  const first = fetch('/set', { method: 'POST', body });
  await arrived;
  assert.equal((await fetch('/set', { method: 'POST', body })).status, 429);
  release();
  assert.equal((await first).status, 200);
  assert.equal((await fetch('/set', { method: 'POST', body })).status, 200);
});

test('the deadline is 10 s unless the request names another', async () => {
  const clock = new ManualClock();
  const { fetch, kv } = await startTestServer({ clock });
  const cases: [string, Record<string, string>, number][] = [
    ['/v1/kv/a', {}, 10_000],
    ['/v1/kv/a?timeout=50', {}, 50],
    ['/v1/kv/a', { 'x-timeout-ms': '60000' }, 60_000],
    ['/v1/kv/a?timeout=1', { 'x-timeout-ms': '60000' }, 1],
    ['/get?key=a&timeout=70', {}, 70],
  ];
  for (const [path, headers, timeoutMs] of cases) {
    const arrived = kv.nextCall();
    await fetch(path, { headers });
    assert.equal((await arrived).deadline, clock.now() + timeoutMs, path);
  }
  const calls = kv.calls.length;
  for (const timeout of ['0', '60001', '-1', 'soon', '']) {
    assert.equal((await fetch(`/v1/kv/a?timeout=${timeout}`)).status, 400, timeout);
  }
  assert.equal((await fetch('/v1/kv/a', { headers: { 'x-timeout-ms': '1s' } })).status, 400);
  assert.equal(kv.calls.length, calls);
});

test('what misses its deadline is 504 and says whether it may have happened', async () => {
  const clock = new ManualClock();
  const { fetch, kv } = await startTestServer({ clock });
  kv.hold();
  const arrived = kv.nextCall();
  const late = fetch('/v1/kv/a?timeout=100', { method: 'PUT', body: 'x' });
  await arrived;
  clock.advance(100);
  const answer = await late;
  assert.equal(answer.status, 504);
  assert.partialDeepStrictEqual(await answer.json(), { code: 'TIMEOUT', outcome: 'unknown' });
});

test('a service that forgets its deadline is given up a little later', async () => {
  const clock = new ManualClock();
  const { fetch, kv } = await startTestServer({ clock });
  kv.hold();
  kv.ignoresDeadline = true;
  for (const [method, outcome] of [
    ['PUT', 'unknown'],
    ['GET', 'not-applied'],
  ] as const) {
    const arrived = kv.nextCall();
    const late = fetch('/v1/kv/a?timeout=100', { method });
    const { signal } = await arrived;
    clock.advance(600);
    const answer = await late;
    assert.equal(answer.status, 504);
    assert.partialDeepStrictEqual(await answer.json(), { code: 'TIMEOUT', outcome });
    assert.equal(signal?.aborted, true);
  }
});

test('the work of a client that goes away is aborted', async () => {
  const { url, kv } = await startTestServer();
  kv.hold();
  const arrived = kv.nextCall();
  const client = new AbortController();
  const request = fetch(`${url}/v1/kv/a`, { signal: client.signal });
  const rejected = assert.rejects(request, { name: 'AbortError' });
  const { signal } = await arrived;
  assert.ok(signal !== undefined && !signal.aborted);
  const aborted = new Promise((resolve) => signal.addEventListener('abort', resolve));
  client.abort();
  await aborted;
  await rejected;
});

test('an unexpected failure is 500 and logged, with an outcome that nobody knows', async () => {
  const logged: string[] = [];
  const observer: Observer = {
    ...SILENT,
    log: { ...SILENT.log, error: (fields) => logged.push(String(fields['route'])) },
  };
  const { fetch, kv } = await startTestServer({ observer });
  kv.failure = new TypeError('x is undefined');
  const failed = await fetch('/v1/kv/a', { method: 'PUT', body: 'x' });
  assert.equal(failed.status, 500);
  assert.partialDeepStrictEqual(await failed.json(), { code: 'INTERNAL', outcome: 'unknown' });
  assert.deepEqual(logged, ['PUT /v1/kv/{key}']);
});

test('a bug is thrown where it ends the process', async () => {
  const clock = new ManualClock();
  const { fetch, kv } = await startTestServer({ clock });
  kv.failure = new AssertionError('Log has a gap');
  assert.equal((await fetch('/v1/kv/a')).status, 500);
  const [rethrow] = clock.soonCalls;
  assert.ok(rethrow !== undefined);
  assert.throws(rethrow, kv.failure);
});

test('close() lets a request in flight finish and takes no new connection', async () => {
  // On this clock the time for closing never runs out.
  const { fetch, kv, server } = await startTestServer({ clock: new ManualClock() });
  const release = kv.hold();
  const arrived = kv.nextCall();
  const inFlight = fetch('/v1/kv/a', { method: 'PUT', body: 'x' });
  await arrived;
  const closed = server.close();
  await assert.rejects(exchange(server.port, 'GET /livez HTTP/1.1\r\nhost: x\r\n\r\n'));
  release();
  const answer = await inFlight;
  assert.equal(answer.status, 201);
  assert.equal(answer.headers.get('connection'), 'close');
  await closed;
  await server.close();
});

test('close() cuts off what does not finish in time', async () => {
  const clock = new ManualClock();
  const { fetch, kv, server } = await startTestServer({ clock });
  kv.hold();
  kv.ignoresDeadline = true;
  const arrived = kv.nextCall();
  const cut = assert.rejects(fetch('/v1/kv/a'));
  await arrived;
  const closed = server.close();
  clock.advance(DEFAULT_SERVER_LIMITS.closeGraceMs);
  await cut;
  await closed;
});

test('an occupied port is one clear sentence', async () => {
  const { server, kv, admin } = await startTestServer();
  const second = startHttpServer({
    host: '127.0.0.1',
    port: server.port,
    kv,
    admin,
    clock: new SystemClock(),
    observer: SILENT,
    limits: DEFAULT_SERVER_LIMITS,
    metricsText: async () => ({ contentType: 'text/plain', body: '' }),
  });
  await assert.rejects(second, (error: unknown) => {
    assert.ok(error instanceof MatrixError);
    assert.equal(error.code, 'UNAVAILABLE');
    assert.equal(
      error.text,
      `Cannot listen on 127.0.0.1:${server.port} as another program uses this port`,
    );
    return true;
  });
});
