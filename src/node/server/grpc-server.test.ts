import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { DescFile } from '@bufbuild/protobuf';
import { createFileRegistry, fromBinary } from '@bufbuild/protobuf';
import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import type { CallOptions, ServiceError } from '@grpc/grpc-js';
import {
  Client,
  credentials,
  makeClientConstructor,
  Server,
  ServerCredentials,
} from '@grpc/grpc-js';
import { service as healthService } from 'grpc-health-check';
import type { Clock } from '../../kernel/clock.ts';
import { SystemClock } from '../../kernel/clock.ts';
import { MatrixError } from '../../kernel/errors.ts';
import { SILENT } from '../../kernel/observer.ts';
import { decodeError } from '../../wire/error-codec.ts';
import { KV } from '../../wire/gen/matrixkv/v1/kv_pb.ts';
import { toClientConstructor } from '../../wire/grpc.ts';
import { ERROR_TRAILER } from '../../wire/status.ts';
import type { KvServiceHandle } from './grpc-server.ts';
import { addKvService } from './grpc-server.ts';
import type { ServerLimits } from './limits.ts';
import { DEFAULT_SERVER_LIMITS } from './limits.ts';
import { ManualClock, MemoryAdmin, MemoryKv } from './memory-services-suite.ts';

const STATUS = { INVALID_ARGUMENT: 3, RESOURCE_EXHAUSTED: 8 };

interface Started {
  readonly address: string;
  readonly kv: MemoryKv;
  readonly admin: MemoryAdmin;
  readonly handle: KvServiceHandle;
  readonly client: Client;
  /** Calls one method of KV and answers what came back, or rejects with the gRPC error. */
  call(method: string, request: object, options?: CallOptions): Promise<object>;
  checkHealth(service: string): Promise<object>;
}

async function start(
  changes: { clock?: Clock; limits?: Partial<ServerLimits> } = {},
): Promise<Started> {
  const clock = changes.clock ?? new SystemClock();
  const server = new Server();
  const kv = new MemoryKv(clock);
  const admin = new MemoryAdmin();
  const limits = { ...DEFAULT_SERVER_LIMITS, ...changes.limits };
  const handle = addKvService(server, { kv, admin, clock, observer: SILENT, limits });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  const address = `127.0.0.1:${port}`;
  const insecure = credentials.createInsecure();
  const client = new (toClientConstructor(KV))(address, insecure);
  const health = new (makeClientConstructor(healthService, 'Health'))(address, insecure);
  after(() => {
    handle.close();
    client.close();
    health.close();
    server.forceShutdown();
  });
  return {
    address,
    kv,
    admin,
    handle,
    client,
    call: (method, request, options = {}) => invoke(client, { method, request, options }),
    checkHealth: (service) => invoke(health, { method: 'check', request: { service } }),
  };
}

function invoke(
  client: Client,
  { method, request, options = {} }: { method: string; request: object; options?: CallOptions },
): Promise<object> {
  const stub: unknown = Reflect.get(client, method);
  assert.ok(typeof stub === 'function', `The client has no method ${method}`);
  return new Promise((resolve, reject) => {
    stub.call(client, request, options, (error: Error | null, response: object) =>
      error === null ? resolve(response) : reject(error),
    );
  });
}

async function failureOf(call: Promise<object>): Promise<{ status: number; error: MatrixError }> {
  const failure = await call.then(
    () => assert.fail('The call succeeded'),
    (error: ServiceError) => error,
  );
  const [trailer] = failure.metadata.get(ERROR_TRAILER);
  assert.ok(Buffer.isBuffer(trailer), `No error trailer: ${failure.message}`);
  const error = decodeError(trailer);
  assert.ok(error !== undefined);
  return { status: failure.code, error };
}

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
const KEY = bytes(0xff, 0x00, 0x2f);

function pick(message: object, ...names: string[]): Record<string, unknown> {
  return Object.fromEntries(names.map((name) => [name, Reflect.get(message, name)]));
}

test('Put, Get and Delete carry any bytes, versions and whether the key was there', async () => {
  const { call } = await start();
  const written = await call('put', { key: KEY, value: bytes(0, 255) });
  assert.deepEqual(pick(written, 'applied', 'existed', 'version'), {
    applied: true,
    existed: false,
    version: 1n,
  });
  const found = await call('get', { key: KEY });
  assert.deepEqual(pick(found, 'found', 'value', 'version'), {
    found: true,
    value: bytes(0, 255),
    version: 1n,
  });
  const removed = await call('delete', { key: KEY });
  assert.deepEqual(pick(removed, 'applied', 'existed'), { applied: true, existed: true });
  const missing = await call('get', { key: KEY });
  assert.deepEqual(pick(missing, 'found', 'version'), { found: false, version: 0n });
});

test('a failed precondition is an answer with the current version', async () => {
  const { call, kv } = await start();
  await call('put', { key: KEY, value: bytes(1) });
  const absent = { condition: { case: 'absent', value: true } };
  const refused = await call('put', { key: KEY, value: bytes(2), precondition: absent });
  assert.deepEqual(pick(refused, 'applied', 'existed', 'version'), {
    applied: false,
    existed: true,
    version: 1n,
  });
  const exactly = { condition: { case: 'version', value: 1n } };
  const applied = await call('put', { key: KEY, value: bytes(2), precondition: exactly });
  assert.equal(Reflect.get(applied, 'applied'), true);
  assert.equal(kv.size, 1);
});

test('Scan pages through keys in both directions', async () => {
  const { call } = await start();
  for (const letter of ['a', 'b', 'c']) {
    await call('put', { key: Buffer.from(letter), value: bytes(1) });
  }
  const first = await call('scan', { limit: 2 });
  assert.deepEqual(keysOf(first), ['a', 'b']);
  const second = await call('scan', { limit: 2, start: Reflect.get(first, 'next') });
  assert.deepEqual(keysOf(second), ['c']);
  assert.equal(Reflect.get(second, 'next'), undefined);
  const back = await call('scan', { limit: 2, reverse: true });
  assert.deepEqual(keysOf(back), ['c', 'b']);
  const rest = await call('scan', { reverse: true, end: Reflect.get(back, 'next') });
  assert.deepEqual(keysOf(rest), ['a']);
});

function keysOf(page: object): string[] {
  const items: unknown = Reflect.get(page, 'items');
  assert.ok(Array.isArray(items));
  return items.map(({ key }) => Buffer.from(key).toString());
}

test('requests out of bounds are refused before the service sees them', async () => {
  const { call, kv } = await start({ limits: { valueBytesMax: 10 } });
  const wrong: [string, object, string][] = [
    ['get', { key: bytes() }, 'INVALID_ARGUMENT'],
    ['put', { key: new Uint8Array(4097), value: bytes() }, 'TOO_LARGE'],
    ['put', { key: KEY, value: new Uint8Array(11) }, 'TOO_LARGE'],
    ['put', { key: KEY, value: bytes(), precondition: {} }, 'INVALID_ARGUMENT'],
    ['delete', { key: KEY, precondition: versionIs(0n) }, 'INVALID_ARGUMENT'],
    ['delete', { key: KEY, precondition: versionIs(2n ** 60n) }, 'INVALID_ARGUMENT'],
    ['delete', { key: KEY, precondition: absentIs(false) }, 'INVALID_ARGUMENT'],
    ['scan', { limit: 1001 }, 'INVALID_ARGUMENT'],
    ['scan', { start: new Uint8Array(4098) }, 'TOO_LARGE'],
  ];
  for (const [method, request, code] of wrong) {
    const { status, error } = await failureOf(call(method, request));
    assert.equal(error.code, code, method);
    assert.equal(error.outcome, 'not-applied');
    assert.equal(status, STATUS.INVALID_ARGUMENT);
  }
  assert.deepEqual(kv.calls, []);
});

function versionIs(value: bigint): object {
  return { condition: { case: 'version', value } };
}

function absentIs(value: boolean): object {
  return { condition: { case: 'absent', value } };
}

test('a failure travels whole in the trailer', async () => {
  const { call, kv } = await start();
  kv.failure = new MatrixError('OUTCOME_UNKNOWN', 'The leader went away');
  const { error } = await failureOf(call('put', { key: KEY, value: bytes(1) }));
  assert.deepEqual(
    [error.code, error.text, error.outcome],
    ['OUTCOME_UNKNOWN', 'The leader went away', 'unknown'],
  );
});

test('a request beyond the bound of requests in flight is told to come back', async () => {
  const { call, kv } = await start({ limits: { requestsInFlightMax: 1 } });
  const release = kv.hold();
  const arrived = kv.nextCall();
  const first = call('get', { key: KEY });
  await arrived;
  const { status, error } = await failureOf(call('get', { key: KEY }));
  assert.equal(status, STATUS.RESOURCE_EXHAUSTED);
  assert.equal(error.code, 'OVERLOADED');
  release();
  await first;
  await call('get', { key: KEY });
});

test('the deadline of the client reaches the service, and is bounded', async () => {
  const { call, kv } = await start();
  const clock = new SystemClock();
  const { timeoutDefaultMs, timeoutMaxMs } = DEFAULT_SERVER_LIMITS;
  const long = kv.nextCall();
  const before = clock.now();
  await call('get', { key: KEY }, { deadline: Date.now() + 3_600_000 });
  const { deadline } = await long;
  assert.ok(deadline <= clock.now() + timeoutMaxMs && deadline > before + timeoutDefaultMs);
  const none = kv.nextCall();
  await call('get', { key: KEY });
  assert.ok((await none).deadline <= clock.now() + timeoutDefaultMs);
});

test('a cancelled call is aborted in the service', async () => {
  const { client, kv } = await start();
  kv.hold();
  const arrived = kv.nextCall();
  const stub: unknown = Reflect.get(client, 'get');
  assert.ok(typeof stub === 'function');
  const call = stub.call(client, { key: KEY }, () => {});
  const { signal } = await arrived;
  assert.ok(signal !== undefined && !signal.aborted);
  const aborted = new Promise((resolve) => signal.addEventListener('abort', resolve));
  call.cancel();
  await aborted;
});

test('the health service says what the node says, and NOT_SERVING when it closes', async () => {
  const clock = new ManualClock();
  const { checkHealth, admin, handle } = await start({ clock });
  assert.deepEqual(pick(await checkHealth(''), 'status'), { status: 'SERVING' });
  assert.deepEqual(pick(await checkHealth('matrixkv.v1.KV'), 'status'), { status: 'SERVING' });
  admin.healthNow = { ...admin.healthNow, isReady: false };
  clock.advance(1000);
  assert.deepEqual(pick(await checkHealth(''), 'status'), { status: 'NOT_SERVING' });
  admin.healthNow = { ...admin.healthNow, isReady: true };
  clock.advance(1000);
  assert.deepEqual(pick(await checkHealth(''), 'status'), { status: 'SERVING' });
  handle.close();
  assert.deepEqual(pick(await checkHealth(''), 'status'), { status: 'NOT_SERVING' });
});

// server.reflection.v1: ServerReflectionRequest and -Response, as far as they are needed here.
const FILE_CONTAINING_SYMBOL = 4;
const LIST_SERVICES = 7;
const FILE_RESPONSE = 4;
const LIST_RESPONSE = 6;

test('reflection lists the services and describes them so that a tool can call them', async () => {
  const { address } = await start();
  const listed = await reflect(address, { field: LIST_SERVICES, text: '*' });
  const services = fieldsOf(listed, LIST_RESPONSE).flatMap((list) => fieldsOf(list, 1));
  const names = services.flatMap((service) => fieldsOf(service, 1)).map(String);
  assert.deepEqual(names.sort(), ['grpc.health.v1.Health', 'matrixkv.v1.KV']);
  for (const name of names) {
    const described = await reflect(address, { field: FILE_CONTAINING_SYMBOL, text: name });
    const files = fieldsOf(described, FILE_RESPONSE).flatMap((file) => fieldsOf(file, 1));
    const [proto] = files.map((file) => fromBinary(FileDescriptorProtoSchema, file));
    assert.ok(proto !== undefined, `${name} has no file`);
    assert.ok(proto.service.some((service) => `${proto.package}.${service.name}` === name));
    if (name !== 'matrixkv.v1.KV') continue;
    const registry = createFileRegistry(proto, (): DescFile | undefined => undefined);
    const scan = registry.getService(name)?.methods.find((method) => method.name === 'Scan');
    assert.equal(scan?.output.field['items']?.fieldKind, 'list');
  }
});

/** One reflection request over a real stream; answers the encoded response. */
function reflect(
  address: string,
  { field, text }: { field: number; text: string },
): Promise<Buffer> {
  const client = new Client(address, credentials.createInsecure());
  const request = Buffer.from(
    new BinaryWriter()
      .uint32((field << 3) | 2)
      .string(text)
      .finish(),
  );
  return new Promise<Buffer>((resolve, reject) => {
    const stream = client.makeBidiStreamRequest(
      '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
      (sent: Buffer) => sent,
      (received: Buffer) => received,
    );
    stream.on('data', resolve);
    stream.on('error', reject);
    stream.write(request);
    stream.end();
  }).finally(() => client.close());
}

/** All length-delimited fields with this number. */
function fieldsOf(message: Uint8Array, wanted: number): Buffer[] {
  const reader = new BinaryReader(message);
  const found: Buffer[] = [];
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === wanted) found.push(Buffer.from(reader.bytes()));
    else reader.skip(type, field);
  }
  return found;
}
