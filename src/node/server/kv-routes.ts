// `/v1/kv/{key}`: one key, raw. The body is the value, any bytes of any content type; the key is the
// rest of the path, percent-encoded bytes, in which a slash is a byte like any other.

import { MatrixError } from '../../kernel/errors.ts';
import type { KvService } from '../routing/services.ts';
import type { Precondition, WriteResult } from '../shard/kv-types.ts';
import type { Answer } from './answer.ts';
import { emptyAnswer, jsonAnswer } from './answer.ts';
import { errorAnswer } from './http-errors.ts';
import type { ServerLimits } from './limits.ts';
import { checkKey, checkValue } from './limits.ts';
import { decodePercent } from './percent.ts';
import { entityTag, isNotModified, writePrecondition } from './preconditions.ts';
import type { Route, RouteRequest } from './route.ts';

export const KV_PREFIX = '/v1/kv/';

export function kvRoutes(kv: KvService, limits: ServerLimits): Route[] {
  const path = `${KV_PREFIX}{key}`;
  return [
    {
      method: 'GET',
      path,
      summary: 'The value of a key as raw bytes, its version as ETag',
      kind: 'read',
      bodyBytesMax: 0,
      query: [],
      handle: (request) => get(kv, request),
    },
    {
      method: 'PUT',
      path,
      summary: 'Writes the body as the value of a key; If-Match and If-None-Match compare and set',
      kind: 'write',
      bodyBytesMax: limits.valueBytesMax,
      query: [],
      handle: (request) => put(kv, limits, request),
    },
    {
      method: 'DELETE',
      path,
      summary: 'Removes a key; removing a missing one succeeds',
      kind: 'write',
      bodyBytesMax: 0,
      query: [],
      handle: (request) => remove(kv, request),
    },
  ];
}

async function get(kv: KvService, request: RouteRequest): Promise<Answer> {
  const key = keyOf(request);
  const result = await kv.get(key, request.context);
  if (!result.found) throw new MatrixError('NOT_FOUND', 'Key is not there');
  const headers = {
    etag: entityTag(result.version),
    // A cache may keep the value but has to ask whether it is still the newest.
    'cache-control': 'no-cache',
  };
  if (isNotModified(request.headers, result.version)) return emptyAnswer(304, headers);
  return {
    status: 200,
    // A value is data, never a page: browsers must not guess that it is one.
    headers: {
      ...headers,
      'content-type': 'application/octet-stream',
      'x-content-type-options': 'nosniff',
    },
    body: result.value,
  };
}

async function put(kv: KvService, limits: ServerLimits, request: RouteRequest): Promise<Answer> {
  const key = keyOf(request);
  checkValue(request.body, limits);
  const result = await kv.put(
    { key, value: request.body, ...preconditionOf(request) },
    request.context,
  );
  if (!result.applied) return preconditionFailed(result);
  const { version, existed } = result;
  const headers = { etag: entityTag(version) };
  return jsonAnswer({ version, existed }, existed ? 200 : 201, headers);
}

async function remove(kv: KvService, request: RouteRequest): Promise<Answer> {
  const key = keyOf(request);
  if (request.body.length > 0) throw new MatrixError('INVALID_ARGUMENT', 'DELETE takes no body');
  const result = await kv.delete({ key, ...preconditionOf(request) }, request.context);
  if (!result.applied) return preconditionFailed(result);
  return emptyAnswer(204, {
    'x-existed': String(result.existed),
    'x-version': String(result.version),
  });
}

function keyOf(request: RouteRequest): Uint8Array {
  const key = decodePercent(request.rawPath.slice(KV_PREFIX.length), 'Key');
  checkKey(key);
  return key;
}

function preconditionOf(request: RouteRequest): { precondition?: Precondition } {
  const precondition = writePrecondition(request.headers);
  return precondition === undefined ? {} : { precondition };
}

/** A compare that failed is an answer, so it tells what to compare with next. */
function preconditionFailed({ version }: WriteResult): Answer {
  const now = version === 0 ? 'the key is absent' : `the version is ${version}`;
  const error = new MatrixError('PRECONDITION_FAILED', `Nothing was written as ${now}`);
  return errorAnswer(error, {
    fields: { version },
    headers: version === 0 ? {} : { etag: entityTag(version) },
  });
}
