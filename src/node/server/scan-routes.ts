// `/v1/kv?...`: keys in order, page by page. `prefix`, `start` and `end` all narrow the range, and so
// does the token of the page before; what is left is one range for the service.

import type { KeyRange } from '../../kernel/bytes.ts';
import { compareBytes, EMPTY, prefixEnd } from '../../kernel/bytes.ts';
import { MatrixError } from '../../kernel/errors.ts';
import type { KvService } from '../routing/services.ts';
import type { ScanItem, ScanResult } from '../shard/kv-types.ts';
import type { Answer } from './answer.ts';
import { jsonAnswer } from './answer.ts';
import type { Encoding } from './byte-text.ts';
import { bytesToJson } from './byte-text.ts';
import { checkBound, checkScanLimit, SCAN_LIMIT_DEFAULT } from './limits.ts';
import type { Query } from './query.ts';
import type { Route, RouteRequest } from './route.ts';
import { decodeScanToken, encodeScanToken } from './scan-token.ts';

export function scanRoutes(kv: KvService): Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/kv',
      summary: 'Keys in order: ?prefix=&start=&end=&limit=&reverse=&keysOnly=&encoding=&continue=',
      kind: 'read',
      bodyBytesMax: 0,
      query: ['prefix', 'start', 'end', 'limit', 'reverse', 'keysOnly', 'encoding', 'continue'],
      handle: (request) => scan(kv, request),
    },
  ];
}

async function scan(kv: KvService, { query, context }: RouteRequest): Promise<Answer> {
  const limit = query.integer('limit') ?? SCAN_LIMIT_DEFAULT;
  checkScanLimit(limit);
  const isReverse = query.flag('reverse');
  const keysOnly = query.flag('keysOnly');
  const encoding = encodingOf(query);
  const range = rangeOf(query, isReverse);
  const page: ScanResult = isEmpty(range)
    ? { items: [] }
    : await kv.scan({ ...range, limit, reverse: isReverse, keysOnly }, context);
  const items = page.items.map((item) => itemToJson(item, { keysOnly, encoding }));
  const next =
    page.next === undefined ? {} : { next: encodeScanToken({ isReverse, next: page.next }) };
  return jsonAnswer({ items, ...next });
}

function itemToJson(
  item: ScanItem,
  { keysOnly, encoding }: { readonly keysOnly: boolean; readonly encoding: Encoding },
): unknown {
  const { key, value, version } = item;
  if (keysOnly) return { ...bytesToJson({ key }, encoding), version };
  return { ...bytesToJson({ key, value }, encoding), version };
}

function rangeOf(query: Query, isReverse: boolean): KeyRange {
  const prefix = boundOf(query, 'prefix');
  const ranges: KeyRange[] = [
    { start: prefix, end: prefixEnd(prefix) },
    { start: boundOf(query, 'start'), end: boundOf(query, 'end') },
    pageOf(query, isReverse),
  ];
  return ranges.reduce(intersect);
}

/** What the pages before have left over. */
function pageOf(query: Query, isReverse: boolean): KeyRange {
  const token = query.text('continue');
  if (token === undefined) return { start: EMPTY, end: EMPTY };
  const position = decodeScanToken(token);
  checkBound(position.next);
  if (position.isReverse !== isReverse) {
    throw new MatrixError(
      'INVALID_ARGUMENT',
      'Parameter continue belongs to a scan in the other direction',
    );
  }
  return isReverse ? { start: EMPTY, end: position.next } : { start: position.next, end: EMPTY };
}

function boundOf(query: Query, name: string): Uint8Array {
  const bound = query.bytes(name) ?? EMPTY;
  checkBound(bound);
  return bound;
}

function encodingOf(query: Query): Encoding {
  const encoding = query.text('encoding') ?? 'text';
  if (encoding === 'text' || encoding === 'base64') return encoding;
  throw new MatrixError(
    'INVALID_ARGUMENT',
    `Parameter encoding is ${JSON.stringify(encoding)}, expected text or base64`,
  );
}

/** Where an end is empty it means no end, as everywhere. */
function intersect(a: KeyRange, b: KeyRange): KeyRange {
  const start = compareBytes(a.start, b.start) >= 0 ? a.start : b.start;
  if (a.end.length === 0) return { start, end: b.end };
  if (b.end.length === 0) return { start, end: a.end };
  return { start, end: compareBytes(a.end, b.end) <= 0 ? a.end : b.end };
}

function isEmpty(range: KeyRange): boolean {
  return range.end.length > 0 && compareBytes(range.start, range.end) >= 0;
}
