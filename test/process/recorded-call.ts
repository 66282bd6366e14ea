// One operation of a history as one HTTP call to /v1/kv, and its answer as the history wants it: what
// happened, that nothing happened, or that nobody knows.

import type { Precondition } from '../../src/node/shard/kv-types.ts';
import type { Action, Ending, Result } from '../sim/history.ts';
import { CallFailure, call, type Reply } from './http-calls.ts';

export interface RecordedCall {
  /** The HTTP address of the node that is asked. */
  readonly node: string;
  readonly key: string;
  readonly action: Action;
  readonly timeoutMs: number;
}

/** How much later than its deadline an answer may come before the connection is given up. */
const PATIENCE_MS = 1_000;

/** Throws on an answer that the API does not allow: a bug. */
export async function performCall(recorded: RecordedCall): Promise<Ending> {
  const { node, key, action, timeoutMs } = recorded;
  const reply = await send(`${node}/v1/kv/${key}?timeout=${timeoutMs}`, action, timeoutMs);
  if (reply instanceof CallFailure) {
    return { type: reply.mayHaveHappened ? 'unknown' : 'fail' };
  }
  const result = resultOf(action, reply);
  if (result !== undefined) return { type: 'ok', result };
  const outcome = /"outcome":"([a-z-]+)"/.exec(reply.body)?.[1];
  if (outcome === undefined || /"code":"INTERNAL"/.test(reply.body)) {
    throw new Error(`${node} answered ${action.type} with ${reply.status}: ${reply.body}`);
  }
  return { type: outcome === 'not-applied' ? 'fail' : 'unknown' };
}

async function send(url: string, action: Action, timeoutMs: number): Promise<Reply | CallFailure> {
  const methods = { get: 'GET', put: 'PUT', delete: 'DELETE' } as const;
  const body = action.type === 'put' ? { body: action.value } : {};
  const headers = action.type === 'get' ? {} : conditionHeaders(action.precondition);
  const options = { method: methods[action.type], ...body, headers };
  try {
    return await call(url, { ...options, timeoutMs: timeoutMs + PATIENCE_MS });
  } catch (error) {
    if (error instanceof CallFailure) return error;
    throw error;
  }
}

function conditionHeaders(precondition: Precondition | undefined): Record<string, string> {
  switch (precondition?.type) {
    case 'absent':
      return { 'If-None-Match': '*' };
    case 'present':
      return { 'If-Match': '*' };
    case 'version':
      return { 'If-Match': `"${precondition.version}"` };
    default:
      return {};
  }
}

/** Undefined for an error. */
function resultOf(action: Action, { status, headers, body }: Reply): Result | undefined {
  const tag = Number(headers.etag?.replaceAll('"', '') ?? '0');
  if (action.type === 'get') {
    if (status === 200) return { type: 'found', value: body, version: tag };
    return status === 404 ? { type: 'absent' } : undefined;
  }
  if (status === 412) return { type: 'written', applied: false, existed: tag > 0, version: tag };
  if (action.type === 'put') {
    if (status !== 200 && status !== 201) return undefined;
    return { type: 'written', applied: true, existed: status === 200, version: tag };
  }
  if (status !== 204) return undefined;
  const version = Number(headers['x-version']);
  return { type: 'written', applied: true, existed: headers['x-existed'] === 'true', version };
}
