import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { before, test } from 'node:test';
import type { ValidateFunction } from 'ajv/dist/2020.js';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { parse } from 'yaml';
import { SystemClock } from '../../kernel/clock.ts';
import { ERROR_CODES, MatrixError } from '../../kernel/errors.ts';
import { DEFAULT_SERVER_LIMITS } from './limits.ts';
import type { TestServer } from './memory-services-suite.ts';
import { MemoryAdmin, MemoryKv, startTestServer } from './memory-services-suite.ts';
import type { Route } from './route.ts';
import { allRoutes } from './route-table.ts';

const METHODS = ['get', 'put', 'post', 'delete'];
const DOCUMENT_ID = 'openapi.yaml';

type Tree = Readonly<Record<string, unknown>>;

let text = '';
let document: Tree = {};
const ajv = new Ajv2020({ strict: false, allErrors: true });

before(async () => {
  text = await readFile(new URL('../../../docs/openapi.yaml', import.meta.url), 'utf8');
  document = parse(text);
  ajv.addSchema(document, DOCUMENT_ID);
});

function routesOfServer(): readonly Route[] {
  return allRoutes({
    kv: new MemoryKv(new SystemClock()),
    admin: new MemoryAdmin(),
    limits: DEFAULT_SERVER_LIMITS,
    metricsText: async () => ({ contentType: 'text/plain', body: '' }),
  });
}

/** What lies at this path in the document; references on the way are followed. */
function at(...path: string[]): Tree | undefined {
  let node: unknown = document;
  for (const part of path) {
    node = follow(node);
    if (typeof node !== 'object' || node === null || !Object.hasOwn(node, part)) return undefined;
    node = Reflect.get(node, part);
  }
  return follow(node);
}

function follow(node: unknown): Tree | undefined {
  if (typeof node !== 'object' || node === null) return undefined;
  const reference: unknown = Reflect.get(node, '$ref');
  if (typeof reference !== 'string' || Object.keys(node).length > 1) return { ...node };
  return at(...reference.slice(2).split('/').map(unescapePointer));
}

/** Where the schema of an answer is, as a JSON pointer that no reference interrupts. */
function pointerTo(path: readonly string[]): string {
  let pointer = '#';
  let node: unknown = document;
  for (const part of path) {
    const reference: unknown =
      typeof node === 'object' && node !== null ? Reflect.get(node, '$ref') : undefined;
    if (typeof reference === 'string') {
      pointer = reference;
      node = at(...reference.slice(2).split('/').map(unescapePointer));
    }
    pointer += `/${part.replaceAll('~', '~0').replaceAll('/', '~1')}`;
    node = typeof node === 'object' && node !== null ? Reflect.get(node, part) : undefined;
  }
  return `${DOCUMENT_ID}${pointer.replaceAll('{', '%7B').replaceAll('}', '%7D')}`;
}

function unescapePointer(part: string): string {
  return part.replaceAll('~1', '/').replaceAll('~0', '~');
}

test('every route of the server is described, and everything described is a route', () => {
  const served = routesOfServer().map(({ method, path }) => `${method} ${path}`);
  const described = Object.keys(at('paths') ?? {}).flatMap((path) =>
    Object.keys(at('paths', path) ?? {})
      .filter((method) => METHODS.includes(method))
      .map((method) => `${method.toUpperCase()} ${path}`),
  );
  assert.deepEqual(described.sort(), served.sort());
  assert.ok(served.length >= 20);
});

test('every query parameter of a route is described, and every described one is known', () => {
  for (const { method, path, query } of routesOfServer()) {
    if (query === 'any') continue;
    const nodes = [
      at('paths', path, 'parameters'),
      at('paths', path, method.toLowerCase(), 'parameters'),
    ];
    const described = nodes
      .flatMap((parameters) => Object.values(parameters ?? {}).map(follow))
      .filter((parameter) => parameter?.['in'] === 'query')
      .map((parameter) => String(parameter?.['name']));
    assert.deepEqual(described.sort(), [...query, 'timeout'].sort(), `${method} ${path}`);
  }
});

test('the described error codes are the codes of the program', () => {
  const codes = at('components', 'schemas', 'Error', 'properties', 'code', 'enum');
  assert.deepEqual(Object.values(codes ?? {}).sort(), [...ERROR_CODES].sort());
});

/** One real call. `path` is the described path, `url` what is sent. */
interface Call {
  readonly method: string;
  readonly path: string;
  readonly url?: string;
  readonly init?: RequestInit;
  readonly status: number;
}

const KEY = { path: '/v1/kv/{key}', url: '/v1/kv/a' };
const PUT = { method: 'PUT', ...KEY };
const DRAIN = '/v1/stores/{id}/drain';
const LEADER = '/v1/shards/{id}/leader';

const CALLS: readonly Call[] = [
  { ...PUT, init: { body: 'one' }, status: 201 },
  { ...PUT, init: { body: 'two' }, status: 200 },
  { ...PUT, init: { headers: { 'if-match': '"1"' } }, status: 412 },
  { ...PUT, init: { headers: { 'if-match': 'x' } }, status: 400 },
  { ...PUT, init: { body: new Uint8Array(2 ** 20 + 1) }, status: 413 },
  { method: 'GET', ...KEY, status: 200 },
  { method: 'GET', ...KEY, init: { headers: { 'if-none-match': '*' } }, status: 304 },
  { method: 'GET', ...KEY, url: '/v1/kv/missing', status: 404 },
  { method: 'GET', path: '/v1/kv', url: '/v1/kv?limit=1', status: 200 },
  { method: 'GET', path: '/v1/kv', url: '/v1/kv?encoding=base64&keysOnly', status: 200 },
  { method: 'GET', path: '/v1/kv', url: '/v1/kv?limit=0', status: 400 },
  { method: 'POST', path: '/set', init: { body: '{"key":"b","value":"x"}' }, status: 200 },
  { method: 'POST', path: '/set', init: { body: '{' }, status: 400 },
  { method: 'GET', path: '/get', url: '/get?key=b', status: 200 },
  { method: 'GET', path: '/get', url: '/get?key=missing', status: 200 },
  { method: 'GET', path: '/get', status: 400 },
  { method: 'POST', path: '/delete', init: { body: '{"key":"b"}' }, status: 200 },
  { method: 'POST', path: '/delete', init: { body: '{"key":""}' }, status: 400 },
  { method: 'DELETE', ...KEY, init: { headers: { 'if-match': '"1"' } }, status: 412 },
  { method: 'DELETE', ...KEY, status: 204 },
  { method: 'GET', path: '/shards', status: 200 },
  { method: 'GET', path: '/v1/cluster', status: 200 },
  { method: 'GET', path: '/v1/stores', status: 200 },
  { method: 'GET', path: '/v1/shards', status: 200 },
  { method: 'POST', path: DRAIN, url: '/v1/stores/7/drain', status: 202 },
  { method: 'DELETE', path: DRAIN, url: '/v1/stores/7/drain', status: 200 },
  { method: 'POST', path: DRAIN, url: '/v1/stores/9/drain', status: 404 },
  {
    method: 'POST',
    path: LEADER,
    url: '/v1/shards/2/leader',
    init: { body: '{"storeId":7}' },
    status: 200,
  },
  { method: 'POST', path: LEADER, url: '/v1/shards/2/leader', status: 400 },
  { method: 'GET', path: '/v1/health', status: 200 },
  { method: 'GET', path: '/livez', status: 200 },
  { method: 'GET', path: '/readyz', url: '/readyz?verbose', status: 200 },
  { method: 'GET', path: '/metrics', status: 200 },
  { method: 'GET', path: '/v1/openapi.yaml', status: 200 },
  { method: 'GET', path: '/', status: 200 },
];

test('real answers fit their description, on every route', async () => {
  const server = await startTestServer();
  await server.fetch('/v1/kv/%FF', { method: 'PUT', body: Uint8Array.of(0xff) });
  for (const call of CALLS) await check(server, call);
  const tried = new Set(CALLS.map(({ method, path }) => `${method} ${path}`));
  for (const { method, path } of routesOfServer()) {
    assert.ok(tried.has(`${method} ${path}`), `${method} ${path} was not tried`);
  }
});

test('a node that is not ready, and a failing service, fit their description too', async () => {
  const server = await startTestServer();
  const checks = [{ name: 'storage', problem: 'Disk is full' }];
  server.admin.healthNow = { isLive: false, isReady: false, checks };
  await check(server, { method: 'GET', path: '/livez', status: 503 });
  await check(server, { method: 'GET', path: '/readyz', status: 503 });
  await check(server, { method: 'GET', path: '/v1/health', status: 200 });
  server.kv.failure = new MatrixError('UNAVAILABLE', 'Shard 2 has no leader');
  await check(server, { ...PUT, status: 503 });
  await check(server, { method: 'GET', path: '/get', url: '/get?key=a', status: 503 });
});

test('the schemas refuse what they should', () => {
  const error = { error: 'x', code: 'NOT_FOUND', retry: 'no', outcome: 'unknown' };
  const validate = validatorOf(['components', 'responses', 'Error', 'content', 'application/json']);
  assert.ok(validate(error));
  for (const wrong of [{ ...error, code: 'X' }, { ...error, more: 1 }, { error: 'x' }, 'x']) {
    assert.equal(validate(wrong), false, JSON.stringify(wrong));
  }
});

test('the server hands out this document', async () => {
  const { fetch } = await startTestServer();
  assert.equal(await (await fetch('/v1/openapi.yaml')).text(), text);
});

async function check(server: TestServer, call: Call): Promise<void> {
  const { method, path, url = path, init, status } = call;
  const name = `${method} ${url}`;
  const answer = await server.fetch(url, { ...init, method });
  assert.equal(answer.status, status, name);
  const operation = ['paths', path, method.toLowerCase(), 'responses'];
  const isDescribed = at(...operation, String(status)) !== undefined;
  const response = [...operation, isDescribed ? String(status) : 'default'];
  assert.ok(isDescribed || status >= 400, `${name}: ${status} is not described`);
  const [type = ''] = (answer.headers.get('content-type') ?? '').split(';');
  if (at(...response, 'content') === undefined) {
    assert.equal(type, '', `${name} has a body that is not described`);
    return;
  }
  const content = [...response, 'content', type];
  assert.ok(at(...content) !== undefined, `${name}: ${type} is not described`);
  for (const header of Object.keys(at(...response, 'headers') ?? {})) {
    if (header === 'Retry-After' || (header === 'ETag' && status === 412)) continue;
    assert.ok(answer.headers.has(header), `${name} has no ${header}`);
  }
  if (type !== 'application/json') return;
  const validate = validatorOf(content);
  const body: unknown = await answer.json();
  assert.ok(validate(body), `${name}: ${JSON.stringify(body)} ${ajv.errorsText(validate.errors)}`);
}

function validatorOf(content: readonly string[]): ValidateFunction {
  return ajv.compile({ $ref: pointerTo([...content, 'schema']) });
}
