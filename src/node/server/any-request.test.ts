import assert from 'node:assert/strict';
import { Agent, METHODS, request } from 'node:http';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { ERROR_CODES } from '../../kernel/errors.ts';
import { startTestServer } from './memory-services-suite.ts';

interface Sent {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

interface Received {
  readonly status: number;
  readonly type: string;
  readonly body: Buffer;
}

const agent = new Agent({ keepAlive: true, maxSockets: 1 });
after(() => agent.destroy());

/** Not fetch, which tidies up paths before it sends them. */
function send(port: number, { method, path, headers, body }: Sent): Promise<Received> {
  return new Promise((resolve, reject) => {
    // Node announces no length for methods that seldom have a body, and would send it all the same.
    const announced = { ...headers, 'content-length': String(body.length) };
    const options = { host: '127.0.0.1', port, method, path, headers: announced, agent };
    const outgoing = request(options, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('error', reject);
      answer.on('end', () => {
        resolve({
          status: answer.statusCode ?? 0,
          type: answer.headers['content-type'] ?? '',
          body: Buffer.concat(chunks),
        });
      });
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

/** Any printable character may stand in a path, whether it means something or not. */
const character = fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code));
const text = fc.string({ unit: character, maxLength: 12 });
const bytes = fc.uint8Array({ maxLength: 12 });
const escaped = bytes.map((key) => [...key].map((byte) => `%${byte.toString(16)}`).join(''));

const path = fc
  .tuple(
    fc.constantFrom(
      '',
      'get',
      'set',
      'delete',
      'shards',
      'v1/kv',
      'v1/kv/',
      'v1/shards/',
      'v1/stores/7/drain',
      'v1/shards/2/leader',
      'v1/cluster',
      'livez',
    ),
    fc.oneof(text, escaped),
    fc.oneof(
      fc.constant(''),
      text.map((query) => `?${query}`),
      fc
        .tuple(
          fc.constantFrom('key', 'prefix', 'start', 'limit', 'continue', 'reverse', 'timeout'),
          fc.oneof(text, escaped, fc.nat(2000).map(String)),
        )
        .map(([name, value]) => `?${name}=${value}`),
    ),
  )
  .map(([start, rest, query]) => `/${start}${rest}${query}`);

const json = fc.oneof(
  fc.record({ key: fc.string(), value: fc.string() }, { requiredKeys: [] }),
  fc.record({ storeId: fc.integer() }),
  fc.jsonValue(),
);
const body = fc.oneof(
  bytes,
  json.map((value) => Buffer.from(JSON.stringify(value))),
);
const headers = fc.record(
  {
    'if-match': fc.constantFrom('*', '"1"', '"x"', '1'),
    'if-none-match': fc.constantFrom('*', '"1"'),
    'content-type': fc.constantFrom('application/json', 'text/html', ';', 'a/b/c'),
    'x-timeout-ms': fc.constantFrom('5000', 'x'),
  },
  { requiredKeys: [] },
);

/** CONNECT asks for a tunnel and gets none: the connection is closed without an answer. */
const method = fc.oneof(
  fc.constantFrom('GET', 'PUT', 'POST', 'DELETE', 'HEAD'),
  fc.constantFrom(...METHODS.filter((name) => name !== 'CONNECT')),
);

test('any request gets a success or an error in JSON, and the server goes on', async () => {
  const { server } = await startTestServer();
  const anything = fc.record({ method, path, headers, body });
  await fc.assert(
    fc.asyncProperty(anything, async (sent) => {
      const answer = await send(server.port, sent);
      assert.notEqual(answer.status, 500);
      if (answer.status < 400 || sent.method === 'HEAD') return;
      assert.equal(answer.type, 'application/json; charset=utf-8');
      const error = JSON.parse(answer.body.toString('utf8'));
      assert.ok(ERROR_CODES.includes(error.code), error.code);
      assert.equal(error.outcome, 'not-applied');
      assert.ok(typeof error.error === 'string' && error.error !== '');
      assert.equal(typeof error.retry, 'string');
    }),
    { numRuns: 1000, seed: 20261123 },
  );
  const still = await fetch(`http://127.0.0.1:${server.port}/livez`);
  assert.equal(still.status, 200);
});

test('whatever is written under any key is read back byte for byte', async () => {
  const { server } = await startTestServer();
  const key = fc.uint8Array({ minLength: 1, maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(key, fc.uint8Array({ maxLength: 300 }), async (name, value) => {
      const hex = Buffer.from(name).toString('hex');
      const keyPath = `/v1/kv/${hex.replaceAll(/../g, '%$&')}`;
      const put = { method: 'PUT', path: keyPath, headers: {}, body: value };
      assert.ok((await send(server.port, put)).status < 300);
      const got = await send(server.port, { ...put, method: 'GET', body: new Uint8Array() });
      assert.deepEqual(new Uint8Array(got.body), value);
      const page = await send(server.port, {
        method: 'GET',
        path: `/v1/kv?limit=1&encoding=base64&start=${hex.replaceAll(/../g, '%$&')}`,
        headers: {},
        body: new Uint8Array(),
      });
      const { items } = JSON.parse(page.body.toString('utf8'));
      assert.equal(items[0].key, Buffer.from(name).toString('base64'));
    }),
    { numRuns: 200, seed: 20261123 },
  );
});
