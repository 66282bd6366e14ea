// The HTTP API of a node as functions: paths, headers and JSON are known here and nowhere else in `mkv`.

import { MatrixError } from '../kernel/errors.ts';
import { CliError } from './exit-codes.ts';
import type { ApiAnswer, ApiRequest, HttpCaller } from './http-caller.ts';
import {
  booleanIn,
  type JsonObject,
  numberIn,
  objectsIn,
  parseObject,
  stringIn,
} from './json-reader.ts';

export type WriteCondition =
  | { readonly type: 'absent' }
  | { readonly type: 'present' }
  | { readonly type: 'version'; readonly version: number };

export interface ScanQuery {
  readonly prefix: string;
  readonly start: string;
  readonly end: string;
  readonly isReverse: boolean;
  readonly keysOnly: boolean;
}

export interface ScanEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly version: number;
}

interface ScanPage {
  readonly items: readonly ScanEntry[];
  /** Where to go on; undefined at the end. */
  readonly next: string | undefined;
}

interface Write {
  readonly key: string;
  readonly condition: WriteCondition | undefined;
}

export class Api {
  readonly #caller: Pick<HttpCaller, 'call'>;

  constructor(caller: Pick<HttpCaller, 'call'>) {
    this.#caller = caller;
  }

  /** Throws NOT_FOUND when the key is absent. */
  async get(key: string): Promise<{ value: Uint8Array; version: number }> {
    const answer = await this.#caller.call({ method: 'GET', path: keyPath(key) });
    return {
      value: answer.body,
      version: Number(/\d+/.exec(answer.headers.get('etag') ?? '')?.[0]),
    };
  }

  async put({ key, condition, value }: Write & { value: Uint8Array }): Promise<{
    version: number;
    existed: boolean;
  }> {
    const json = await this.#json({
      method: 'PUT',
      path: keyPath(key),
      headers: conditionHeaders(condition),
      body: value,
    });
    return decode(() => ({
      version: numberIn(json, 'version'),
      existed: booleanIn(json, 'existed'),
    }));
  }

  async delete({ key, condition }: Write): Promise<{ version: number; existed: boolean }> {
    const headers = conditionHeaders(condition);
    const answer = await this.#caller.call({ method: 'DELETE', path: keyPath(key), headers });
    return {
      version: Number(answer.headers.get('x-version')),
      existed: answer.headers.get('x-existed') === 'true',
    };
  }

  /** One page. Pages are asked for in base64, which keeps every byte. */
  async scan(
    query: ScanQuery,
    page: { limit: number; next?: string | undefined },
  ): Promise<ScanPage> {
    const parameters = new URLSearchParams({ limit: String(page.limit), encoding: 'base64' });
    for (const name of ['prefix', 'start', 'end'] as const) {
      if (query[name] !== '') parameters.set(name, query[name]);
    }
    if (query.isReverse) parameters.set('reverse', 'true');
    if (query.keysOnly) parameters.set('keysOnly', 'true');
    if (page.next !== undefined) parameters.set('continue', page.next);
    const json = await this.#json({ method: 'GET', path: `/v1/kv?${parameters}` });
    return decode(() => ({
      items: objectsIn(json, 'items').map((item) => ({
        key: Buffer.from(stringIn(item, 'key'), 'base64'),
        value: Buffer.from(query.keysOnly ? '' : stringIn(item, 'value'), 'base64'),
        version: numberIn(item, 'version'),
      })),
      next: json['next'] === undefined ? undefined : stringIn(json, 'next'),
    }));
  }

  async cluster(): Promise<JsonObject> {
    return await this.#json({ method: 'GET', path: '/v1/cluster' });
  }

  async stores(): Promise<readonly JsonObject[]> {
    const json = await this.#json({ method: 'GET', path: '/v1/stores' });
    return decode(() => objectsIn(json, 'stores'));
  }

  async shards({ isLocal }: { readonly isLocal: boolean }): Promise<readonly JsonObject[]> {
    const path = isLocal ? '/v1/shards?local=true' : '/v1/shards';
    const json = await this.#json({ method: 'GET', path });
    return decode(() => objectsIn(json, 'shards'));
  }

  async setDraining(storeId: number, isDraining: boolean): Promise<void> {
    const method = isDraining ? 'POST' : 'DELETE';
    await this.#caller.call({ method, path: `/v1/stores/${storeId}/drain` });
  }

  async #json(request: ApiRequest): Promise<JsonObject> {
    const answer: ApiAnswer = await this.#caller.call(request);
    return decode(() => parseObject(Buffer.from(answer.body).toString('utf8')));
  }
}

/** An answer of another shape comes from something that is no MatrixKV node of this time. */
export function decode<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CliError('failed', `The answer is not what a MatrixKV node says: ${reason}`);
  }
}

function keyPath(key: string): string {
  // Every URL parser takes these away as steps in a path, escaped or not.
  if (key === '.' || key === '..') {
    throw new MatrixError(
      'INVALID_ARGUMENT',
      `The key ${key} cannot stand in a URL: use gRPC for it`,
    );
  }
  return `/v1/kv/${encodeURIComponent(key)}`;
}

function conditionHeaders(condition: WriteCondition | undefined): Record<string, string> {
  switch (condition?.type) {
    case undefined:
      return {};
    case 'absent':
      return { 'if-none-match': '*' };
    case 'present':
      return { 'if-match': '*' };
    case 'version':
      return { 'if-match': `"${condition.version}"` };
  }
}
