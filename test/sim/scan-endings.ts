// What a scan says about single keys. A scan is no snapshot: it is as many reads as it covers keys,
// each at its own moment between the begin and the end of the call, and is judged as that.

import { compareBytes, EMPTY, utf8, view } from '../../src/kernel/bytes.ts';
import { chance, type Random } from '../../src/kernel/random.ts';
import type { ScanRequest, ScanResult } from '../../src/node/shard/kv-types.ts';
import type { Ending } from './history.ts';

export interface Endings {
  readonly type: 'ok';
  /** In the order of the keys. */
  readonly each: readonly Ending[];
}

/** Over everything, from either side, with or without room for all keys. */
export function drawScan(random: Random, keys: number): ScanRequest {
  const limit = chance(random, 1, 2) ? keys + 1 : 1 + random.below(keys);
  return { start: EMPTY, end: EMPTY, limit, reverse: chance(random, 1, 2), keysOnly: false };
}

/** Keys behind the place where the scan ended are as unknown as without it. */
export function endingsOfScan(scan: {
  readonly keys: readonly string[];
  readonly request: ScanRequest;
  readonly answer: ScanResult;
}): Endings {
  const { keys, request, answer } = scan;
  const items = new Map(answer.items.map((item) => [view(item.key).toString(), item]));
  const each = keys.map((key): Ending => {
    const item = items.get(key);
    if (item !== undefined) {
      const { value, version } = item;
      return { type: 'ok', result: { type: 'found', value: view(value).toString(), version } };
    }
    return isCovered(key, request, answer)
      ? { type: 'ok', result: { type: 'absent' } }
      : { type: 'unknown' };
  });
  return { type: 'ok', each };
}

function isCovered(key: string, request: ScanRequest, { next }: ScanResult): boolean {
  if (next === undefined) return true;
  const order = compareBytes(utf8(key), next);
  return request.reverse ? order >= 0 : order < 0;
}
