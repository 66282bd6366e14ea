// The commands against a server that answers as a node does: bytes, headers and JSON on a real socket.

import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { afterEach, beforeEach, test } from 'node:test';
import { runProgram } from './program.ts';
import { formatTable } from './table.ts';

type Handler = (request: IncomingMessage, response: ServerResponse, body: Buffer) => void;

let server: Server;
let endpoint = '';
let handler: Handler;
let seen: string[] = [];

beforeEach(async () => {
  seen = [];
  server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      seen.push(`${request.method} ${request.url}`);
      handler(request, response, Buffer.concat(parts));
    });
  });
  await new Promise<void>((resolve) => server.listen({ host: '127.0.0.1', port: 0 }, resolve));
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  endpoint = `http://127.0.0.1:${address.port}`;
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

interface Result {
  readonly code: number;
  readonly out: string;
  readonly notes: string;
}

async function mkv(args: readonly string[], input = ''): Promise<Result> {
  const out: Buffer[] = [];
  const notes: string[] = [];
  const code = await runProgram(args, {
    version: '1.2.3',
    environment: { MKV_ENDPOINT: endpoint },
    terminal: {
      out: (data) => out.push(Buffer.from(data)),
      note: (line) => notes.push(line),
      readInput: async () => Buffer.from(input),
      isInteractive: false,
      strong: (text) => text,
    },
  });
  return { code, out: Buffer.concat(out).toString('latin1'), notes: notes.join('\n') };
}

function answer(status: number, body: unknown, headers: Record<string, string> = {}): void {
  handler = (_request, response) => {
    response.writeHead(status, headers).end(Buffer.isBuffer(body) ? body : JSON.stringify(body));
  };
}

function refuse(status: number, code: string, more: Record<string, string> = {}): void {
  answer(status, { error: `It is ${code}`, code, retry: 'no', outcome: 'not-applied', ...more });
}

test('get prints the bytes of the value and nothing else', async () => {
  answer(200, Buffer.from([0, 255, 10, 65]), { etag: '"17"' });
  const result = await mkv(['get', 'a/b ?ü']);
  assert.deepEqual(result, { code: 0, out: '\u0000\u00ff\nA', notes: '' });
  assert.deepEqual(seen, ['GET /v1/kv/a%2Fb%20%3F%C3%BC']);
});

test('get -o json has key, value and version, in base64 where the value is no text', async () => {
  answer(200, Buffer.from('hello'), { etag: '"17"' });
  const text = await mkv(['get', 'k', '-o', 'json']);
  assert.deepEqual(JSON.parse(text.out), { key: 'k', value: 'hello', version: 17 });
  answer(200, Buffer.from([255]), { etag: '"18"' });
  const bytes = await mkv(['-o', 'json', 'get', 'k']);
  assert.deepEqual(JSON.parse(bytes.out), {
    key: 'aw==',
    value: '/w==',
    encoding: 'base64',
    version: 18,
  });
});

test('errors become one sentence and an exit code, or JSON', async () => {
  const cases: readonly [number, string, Record<string, string>, number][] = [
    [404, 'NOT_FOUND', {}, 1],
    [412, 'PRECONDITION_FAILED', {}, 1],
    [413, 'TOO_LARGE', {}, 2],
    [503, 'UNAVAILABLE', {}, 3],
    [504, 'TIMEOUT', { outcome: 'unknown' }, 4],
    [504, 'OUTCOME_UNKNOWN', { outcome: 'unknown' }, 4],
    [507, 'DISK_FULL', {}, 5],
  ];
  for (const [status, code, more, exitCode] of cases) {
    refuse(status, code, more);
    const result = await mkv(['set', 'k', 'v']);
    assert.deepEqual(result, { code: exitCode, out: '', notes: `mkv: It is ${code}.` });
  }
  refuse(404, 'NOT_FOUND');
  const result = await mkv(['get', 'k', '-o', 'json']);
  assert.deepEqual(JSON.parse(result.notes), { error: 'It is NOT_FOUND', code: 'NOT_FOUND' });
});

test('set sends the value, from the argument or from standard input, with its condition', async () => {
  const sent: unknown[] = [];
  handler = (request, response, body) => {
    const { 'if-match': match, 'if-none-match': noneMatch } = request.headers;
    sent.push([body.toString(), match, noneMatch]);
    response.writeHead(200).end('{"version":18,"existed":true}');
  };
  assert.equal((await mkv(['set', 'k', 'v'])).out, 'OK, version 18\n');
  await mkv(['set', 'k', '-', '--if-absent'], 'from input');
  await mkv(['set', 'k', 'v', '--if-version', '17']);
  await mkv(['set', '--if-present', '--', 'k', '-5']);
  assert.deepEqual(sent, [
    ['v', undefined, undefined],
    ['from input', undefined, '*'],
    ['v', '"17"', undefined],
    ['-5', '*', undefined],
  ]);
});

test('delete says whether the key was there', async () => {
  answer(204, Buffer.alloc(0), { 'x-existed': 'true', 'x-version': '9' });
  assert.equal((await mkv(['delete', 'k'])).out, 'OK, deleted\n');
  answer(204, Buffer.alloc(0), { 'x-existed': 'false', 'x-version': '9' });
  assert.equal((await mkv(['delete', 'k'])).out, 'OK, it was not there\n');
});

function servePages(): void {
  handler = (request, response) => {
    const isFirst = !request.url?.includes('continue=');
    const item = (key: string, value: string, version: number): unknown => ({
      key: Buffer.from(key).toString('base64'),
      value: Buffer.from(value, 'latin1').toString('base64'),
      version,
    });
    const page = isFirst
      ? { items: [item('user:1', 'Ada', 3)], next: 'to+ken' }
      : { items: [item('user:2', '\u00ff', 4)] };
    response.writeHead(200).end(JSON.stringify(page));
  };
}

test('scan follows the pages and prints one table', async () => {
  servePages();
  const result = await mkv(['scan', 'user:', '--start', 'b', '--reverse']);
  assert.equal(result.out, 'KEY     VERSION  VALUE\nuser:1  3        Ada\nuser:2  4        0xff\n');
  assert.deepEqual(seen, [
    'GET /v1/kv?limit=100&encoding=base64&prefix=user%3A&start=b&reverse=true',
    'GET /v1/kv?limit=99&encoding=base64&prefix=user%3A&start=b&reverse=true&continue=to%2Bken',
  ]);
});

test('scan stops at the limit and says that there is more; its JSON is one list', async () => {
  servePages();
  const limited = await mkv(['scan', '--limit', '1']);
  assert.match(limited.notes, /there are more: --limit 0 lists all/);
  assert.equal(seen.length, 1);
  const all = await mkv(['scan', '--limit', '0', '-o', 'json']);
  assert.deepEqual(JSON.parse(all.out), [
    { key: 'user:1', value: 'Ada', version: 3 },
    { key: 'dXNlcjoy', value: '/w==', encoding: 'base64', version: 4 },
  ]);
  answer(200, { items: [] });
  assert.deepEqual(JSON.parse((await mkv(['scan', '-o', 'json'])).out), []);
});

const CLUSTER = {
  clusterId: 'c1',
  version: '0.1.0',
  bootstrapped: true,
  maxReplicas: 3,
  prophet: { leader: 'node0', term: 2, members: [{ name: 'node0', address: 'h:1' }] },
  stores: 4,
  storesUp: 4,
  shards: 1,
  shardsUnderReplicated: 0,
  shardsWithoutLeader: 0,
};
const STORE = {
  id: 4,
  name: 'node3',
  address: '127.0.0.1:9083',
  httpAddress: '127.0.0.1:8083',
  state: 'up',
  shards: 2,
  leaders: 1,
  sizeBytes: 2048,
  lastHeartbeatMs: 1200,
  version: '0.1.0',
  labels: {},
  blockedBy: '',
};

function serveCluster(cluster: object, store: object): void {
  handler = (request, response) => {
    const body = request.url === '/v1/cluster' ? cluster : { stores: [store] };
    response.writeHead(200).end(JSON.stringify(body));
  };
}

test('status says that the cluster is healthy, or every reason why not', async () => {
  serveCluster(CLUSTER, STORE);
  const healthy = await mkv(['status']);
  assert.equal(healthy.code, 0);
  assert.match(healthy.out, /^Health: +healthy$/m);
  serveCluster({ ...CLUSTER, shardsUnderReplicated: 2 }, { ...STORE, state: 'down' });
  const sick = await mkv(['status']);
  assert.equal(sick.code, 3);
  assert.match(sick.out, /- 2 shards with too few replicas\n +- store 4 \(node3\) is down/);
  const json: unknown = JSON.parse((await mkv(['status', '-o', 'json'])).out);
  assert.ok(typeof json === 'object' && json !== null && 'healthy' in json);
  assert.equal(json.healthy, false);
});

test('status counts one replica as one', async () => {
  serveCluster({ ...CLUSTER, maxReplicas: 1, bootstrapped: false, stores: 0 }, STORE);
  const { out } = await mkv(['status']);
  assert.match(out, /^Shards: +1, 1 replica each$/m);
  assert.match(out, /- it waits for 1 store to begin with, 0 there$/m);
  serveCluster(CLUSTER, STORE);
  assert.match((await mkv(['status'])).out, /^Shards: +1, 3 replicas each$/m);
});

test('stores and shards are tables; a store is drained by its name', async () => {
  serveCluster(CLUSTER, { ...STORE, blockedBy: 'no other store has room' });
  const stores = await mkv(['stores']);
  assert.match(stores.out, /^4 +node3 +up +127.0.0.1:8083 .* 2 KiB +1.2 s ago$/m);
  assert.match(stores.notes, /node3 cannot be drained: no other store has room/);
  await mkv(['stores', 'drain', 'node3']);
  await mkv(['stores', 'cancel-drain', '4']);
  assert.equal((await mkv(['stores', 'drain', 'node9'])).code, 1);
  assert.ok(seen.includes('POST /v1/stores/4/drain') && seen.includes('DELETE /v1/stores/4/drain'));
  const shard = {
    id: 1,
    start: '',
    end: 'AP8=',
    encoding: 'base64',
    epoch: { generation: 2, confVersion: 3 },
    replicas: [
      { replicaId: 10, storeId: 1, role: 'voter' },
      { replicaId: 11, storeId: 4, role: 'learner' },
    ],
    leaderStoreId: 1,
    sizeBytes: 100,
    keys: 7,
  };
  answer(200, { shards: [shard] });
  const shards = await mkv(['shards', '--local']);
  assert.match(shards.out, /^1 +\(first key\) +0x00ff +1 +1,4 \(learner\) +7 +100 B +2\.3$/m);
  assert.equal(seen.at(-1), 'GET /v1/shards?local=true');
});

test('a name means the store that is there, not a removed one of the same name', async () => {
  const stores = [{ ...STORE, id: 3, state: 'removed' }, STORE, { ...STORE, id: 5, name: '3' }];
  answer(200, { stores });
  const drained = await mkv(['stores', 'drain', 'node3']);
  assert.equal(seen.at(-1), 'POST /v1/stores/4/drain');
  assert.match(drained.out, /store 4 is draining: .* removed for good\n$/);
  await mkv(['stores', 'drain', '3']);
  assert.equal(seen.at(-1), 'POST /v1/stores/3/drain');
});

test('help of draining says that it is for good', async () => {
  for (const args of [['stores'], ['stores', 'drain']]) {
    assert.match((await mkv([...args, '--help'])).out, /A drained store is gone for good/);
  }
});

test('the next node is tried when one is away, and a refusal that may pass is tried again', async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen({ host: '127.0.0.1', port: 0 }, resolve));
  const address = other.address();
  assert.ok(typeof address === 'object' && address !== null);
  const gone = `127.0.0.1:${address.port}`;
  await new Promise((resolve) => other.close(resolve));
  let count = 0;
  handler = (_request, response) => {
    count += 1;
    if (count > 1) response.writeHead(201).end('{"version":1,"existed":false}');
    else {
      const body = {
        error: 'No leader',
        code: 'UNAVAILABLE',
        retry: 'later',
        outcome: 'not-applied',
      };
      response.writeHead(503).end(JSON.stringify(body));
    }
  };
  const result = await mkv(['-e', `${gone},${endpoint}`, 'set', 'k', 'v']);
  assert.equal(result.out, 'OK, version 1 (new key)\n');
  const nobody = await mkv(['-e', `${gone}`, 'get', 'k']);
  assert.equal(nobody.code, 3);
  assert.match(nobody.notes, /^mkv: No node answers at .*connection refused.*npm start/);
  const badPort = await mkv(['-e', '127.0.0.1:1', 'set', 'k', 'v']);
  assert.equal(badPort.code, 3);
});

test('a write whose connection breaks has an unknown outcome and is not repeated', async () => {
  handler = (request) => request.socket.destroy();
  const result = await mkv(['-e', `${endpoint},${endpoint}`, 'set', 'k', 'v']);
  assert.equal(result.code, 4);
  assert.match(result.notes, /may have happened/);
  assert.equal(seen.length, 1);
});

test('wrong usage has exit code 2 and asks nothing of the cluster', async () => {
  answer(200, {});
  for (const args of [
    [],
    ['fly'],
    ['get'],
    ['get', 'a', 'b'],
    ['get', '..'],
    ['set', 'k', 'v', '--if-version', '0'],
    ['set', 'k', 'v', '--if-version', '1', '--if-absent'],
    ['scan', '--limit', 'x'],
    ['get', 'k', '-o', 'xml'],
    ['get', 'k', '--timeout', '5'],
    ['get', 'k', '-e', 'ftp://h'],
    ['local', '--nodes', '0'],
    ['local', '--shard-capacity', '3'],
  ]) {
    assert.equal((await mkv(args)).code, 2, args.join(' '));
  }
  assert.deepEqual(seen, []);
  assert.equal((await mkv(['--version'])).out, '1.2.3\n');
});

test('help of every command is there, with the exit codes on the first page', async () => {
  const main = await mkv(['--help']);
  assert.equal(main.code, 0);
  for (const name of ['local', 'set', 'get', 'delete', 'scan', 'shards', 'stores', 'status']) {
    assert.match(main.out, new RegExp(`^  ${name} `, 'm'));
    assert.match((await mkv([name, '--help'])).out, new RegExp(`^Usage: mkv ${name}`));
  }
  assert.match(main.out, /Exit codes:\n {2}0 {2}done/);
});

test('formatTable() keeps cells on their line and the terminal safe', () => {
  assert.equal(
    formatTable(['A', 'B'], [['x\n\u001b[31m', '']]),
    'A        B\nx\ufffd\ufffd[31m  -\n',
  );
});
