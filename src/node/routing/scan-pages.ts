// A scan over several shards: one page of each shard after the other, in the order that was asked
// for, until the limit, a size that is enough for one answer, or the end of the range. Each page is
// linearizable by itself; all of them together are not one snapshot.

import { compareBytes, concatBytes, keyAfter } from '../../kernel/bytes.ts';
import { MatrixError } from '../../kernel/errors.ts';
import type { ScanItem, ScanRequest, ScanResult } from '../shard/kv-types.ts';
import type { ShardMeta } from '../shard/shard-meta.ts';
import { type ShardCall, scanCall } from './shard-call.ts';

export interface ScanPagesOptions {
  /** Finds the shard that holds the key. */
  readonly find: (key: Uint8Array) => Promise<ShardMeta>;
  readonly pursue: (call: ShardCall<ScanResult>) => Promise<ScanResult>;
  readonly bytesMax: number;
  readonly shardsMax: number;
}

/** Longer than every key and every boundary of a shard. */
const KEY_BYTES_CEILING = 4098;

export async function scanPages(
  request: ScanRequest,
  options: ScanPagesOptions,
): Promise<ScanResult> {
  const items: ScanItem[] = [];
  let rest: ScanRequest | undefined = isEmpty(request) ? undefined : request;
  let bytes = 0;
  for (let page = 0; rest !== undefined && page < options.shardsMax; page += 1) {
    const wanted: ScanRequest = { ...rest, limit: request.limit - items.length };
    const found: Page | MatrixError = await scanOne(wanted, options);
    if (found instanceof MatrixError) {
      // What was found is a whole answer as far as it goes; the next page will meet the failure.
      if (items.length === 0 || found.retry === 'no') throw found;
      break;
    }
    rest = found.rest;
    for (const item of found.items) {
      if (items.length > 0 && bytes + sizeOf(item) > options.bytesMax) {
        return { items, next: borderBefore(item, { items, request }) };
      }
      items.push(item);
      bytes += sizeOf(item);
    }
    if (items.length >= request.limit || bytes >= options.bytesMax) break;
  }
  if (rest === undefined) return { items };
  return { items, next: request.reverse ? rest.end : rest.start };
}

interface Page {
  readonly items: readonly ScanItem[];
  /** What of the range is left; undefined at its end. */
  readonly rest: ScanRequest | undefined;
}

/** One page of the shard at the beginning of the range, or why there is none. */
async function scanOne(
  wanted: ScanRequest,
  options: ScanPagesOptions,
): Promise<Page | MatrixError> {
  const key = wanted.reverse ? lastKeyBefore(wanted.end) : wanted.start;
  try {
    const shard = await options.find(key);
    const clipped = clip(wanted, shard);
    const result = await options.pursue(scanCall(key, clipped));
    return { items: result.items, rest: restOf(wanted, { clipped, next: result.next }) };
  } catch (error) {
    if (error instanceof MatrixError) return error;
    throw error;
  }
}

/**
 * The part of the range that lies in the shard as it is known here. Should the shard have been split
 * since, the part is answered by the shard that holds its beginning, which says how far it got.
 */
function clip(scan: ScanRequest, shard: ShardMeta): ScanRequest {
  const start = compareBytes(scan.start, shard.start) < 0 ? shard.start : scan.start;
  return { ...scan, start, end: isEarlierEnd(shard.end, scan.end) ? shard.end : scan.end };
}

function restOf(
  wanted: ScanRequest,
  page: { readonly clipped: ScanRequest; readonly next: Uint8Array | undefined },
): ScanRequest | undefined {
  const { clipped, next } = page;
  if (wanted.reverse) {
    const end = next ?? clipped.start;
    const isDone = end.length === 0 || compareBytes(end, wanted.start) <= 0;
    return isDone ? undefined : { ...wanted, end };
  }
  const start = next ?? clipped.end;
  const isDone = start.length === 0 || !isEarlierEnd(start, wanted.end);
  return isDone ? undefined : { ...wanted, start };
}

/** Where the next page begins so that this item is the first of it. */
function borderBefore(
  item: ScanItem,
  { items, request }: { readonly items: readonly ScanItem[]; readonly request: ScanRequest },
): Uint8Array {
  if (!request.reverse) return item.key;
  return items.at(-1)?.key ?? keyAfter(item.key);
}

/** The greatest key that can be below an end; an empty end lies behind all keys. */
function lastKeyBefore(end: Uint8Array): Uint8Array {
  const fill = (count: number): Uint8Array => new Uint8Array(Math.max(0, count)).fill(0xff);
  const last = end.at(-1);
  if (last === undefined) return fill(KEY_BYTES_CEILING);
  const head = end.subarray(0, -1);
  if (last === 0) return head;
  return concatBytes(head, Uint8Array.of(last - 1), fill(KEY_BYTES_CEILING - end.length));
}

/** An empty end is the latest of all. */
function isEarlierEnd(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length === 0) return false;
  return b.length === 0 || compareBytes(a, b) < 0;
}

function isEmpty(range: ScanRequest): boolean {
  return range.end.length > 0 && compareBytes(range.start, range.end) >= 0;
}

function sizeOf(item: ScanItem): number {
  return item.key.length + item.value.length;
}
