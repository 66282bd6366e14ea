// The ancestor's four routes with its bodies: JSON strings in, JSON out. Repaired where it was
// broken (a.12, 13): a body that cannot be read writes nothing, a missing key is told from an empty
// value by `found`, and a failure has a proper status instead of 200.

import { isUtf8 } from 'node:buffer';
import { utf8, view } from '../../kernel/bytes.ts';
import { MatrixError } from '../../kernel/errors.ts';
import type { AdminService, KvService, ShardView } from '../routing/services.ts';
import type { Answer } from './answer.ts';
import { jsonAnswer } from './answer.ts';
import { bytesToJson } from './byte-text.ts';
import { parseJsonObject, stringField } from './json-body.ts';
import type { ServerLimits } from './limits.ts';
import { checkKey, checkValue, KEY_BODY_BYTES_MAX, setBodyBytesMax } from './limits.ts';
import type { Route, RouteRequest } from './route.ts';

export interface CompatOptions {
  readonly kv: KvService;
  readonly admin: AdminService;
  readonly limits: ServerLimits;
}

export function compatRoutes({ kv, admin, limits }: CompatOptions): Route[] {
  return [
    {
      method: 'POST',
      path: '/set',
      summary: 'Writes a key: {"key":"k","value":"v"}',
      kind: 'write',
      bodyBytesMax: setBodyBytesMax(limits),
      query: 'any',
      handle: (request) => set(kv, limits, request),
      errorFields: keyOfBody,
    },
    {
      method: 'POST',
      path: '/delete',
      summary: 'Removes a key: {"key":"k"}',
      kind: 'write',
      bodyBytesMax: KEY_BODY_BYTES_MAX,
      query: 'any',
      handle: (request) => remove(kv, request),
      errorFields: keyOfBody,
    },
    {
      method: 'GET',
      path: '/get',
      summary: 'The value of a key: /get?key=k',
      kind: 'read',
      bodyBytesMax: 0,
      query: 'any',
      handle: (request) => get(kv, request),
      errorFields: keyOfQuery,
    },
    {
      method: 'GET',
      path: '/shards',
      summary: 'All shards and who holds them; only those of this node with ?local=true',
      kind: 'read',
      bodyBytesMax: 0,
      query: 'any',
      handle: (request) => shards(admin, request),
    },
  ];
}

async function set(kv: KvService, limits: ServerLimits, request: RouteRequest): Promise<Answer> {
  const body = parseJsonObject(request.body);
  const text = stringField(body, 'key');
  const key = utf8(text);
  const value = utf8(stringField(body, 'value'));
  checkKey(key);
  checkValue(value, limits);
  await kv.put({ key, value }, request.context);
  return jsonAnswer({ key: text, error: '' });
}

async function remove(kv: KvService, request: RouteRequest): Promise<Answer> {
  const text = stringField(parseJsonObject(request.body), 'key');
  const key = utf8(text);
  checkKey(key);
  await kv.delete({ key }, request.context);
  return jsonAnswer({ key: text, error: '' });
}

async function get(kv: KvService, request: RouteRequest): Promise<Answer> {
  const text = request.query.text('key');
  if (text === undefined) throw new MatrixError('INVALID_ARGUMENT', 'Parameter key is missing');
  const key = utf8(text);
  checkKey(key);
  const result = await kv.get(key, request.context);
  if (!result.found) return jsonAnswer({ key: text, value: '', found: false, error: '' });
  const { value, ...encoding } = bytesToJson({ value: result.value });
  return jsonAnswer({ key: text, value, ...encoding, found: true, error: '' });
}

async function shards(admin: AdminService, request: RouteRequest): Promise<Answer> {
  // The ancestor takes any text but the empty one for yes, even "false".
  const isLocal = (request.query.text('local') ?? '') !== '';
  const found = await admin.shards({ isLocal }, request.context);
  return jsonAnswer({ 'store-id': admin.storeId, shards: found.map(compatShard) });
}

/** The ancestor's words, and behind them what it did not tell. */
function compatShard(shard: ShardView): unknown {
  return {
    'shard-id': shard.id,
    replicas: shard.replicas.map((replica) => ({
      'replica-id': replica.replicaId,
      'store-id': replica.storeId,
      role: replica.storeId === shard.leaderStoreId ? 'L' : 'F',
    })),
    ...bytesToJson({ start: shard.start, end: shard.end }),
    epoch: { generation: shard.epoch.generation, 'conf-version': shard.epoch.confVersion },
  };
}

/** The key for an error body, as far as the request can be read at all. */
function keyOfBody(request?: RouteRequest): { key: string } {
  try {
    return { key: stringField(parseJsonObject(request?.body ?? new Uint8Array()), 'key') };
  } catch (error) {
    return emptyKeyFor(error);
  }
}

function keyOfQuery(request?: RouteRequest): { key: string } {
  try {
    const key = request?.query.bytes('key');
    return { key: key !== undefined && isUtf8(key) ? view(key).toString('utf8') : '' };
  } catch (error) {
    return emptyKeyFor(error);
  }
}

function emptyKeyFor(error: unknown): { key: string } {
  if (error instanceof MatrixError) return { key: '' };
  throw error;
}
