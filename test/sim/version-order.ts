// The quick check before the search: versions only grow, so an answer may not name an older version
// than an answer that had ended before the operation began. Most real faults (stale reads, lost
// writes) show here at once, with two operations as the whole explanation.

import type { Operation } from './history.ts';

export interface VersionConflict {
  readonly earlier: Operation;
  readonly later: Operation;
}

/** The greatest version that the key may have before this operation; infinite when none is named. */
export function versionBeforeMax({ ending }: Operation): number {
  if (ending.type !== 'ok' || ending.result.type === 'absent') return Number.POSITIVE_INFINITY;
  const { result } = ending;
  if (result.type === 'found') return result.version;
  if (result.applied) return result.version - 1;
  return result.existed ? result.version : Number.POSITIVE_INFINITY;
}

/** `operations` are those of one key. */
export function findVersionConflict(operations: readonly Operation[]): VersionConflict | undefined {
  const ended = operations
    .filter(({ ending, end }) => ending.type === 'ok' && end !== undefined)
    .toSorted((a, b) => (a.end ?? 0) - (b.end ?? 0));
  let newest: Operation | undefined;
  let next = 0;
  for (const later of operations.toSorted((a, b) => a.start - b.start)) {
    for (let one = ended[next]; one !== undefined; one = ended[next]) {
      if ((one.end ?? 0) > later.start) break;
      if (newest === undefined || versionOf(one) > versionOf(newest)) newest = one;
      next += 1;
    }
    if (newest !== undefined && versionOf(newest) > versionBeforeMax(later)) {
      return { earlier: newest, later };
    }
  }
  return undefined;
}

/** The version that the key had reached with this answer, 0 when it names none. */
function versionOf({ ending }: Operation): number {
  if (ending.type !== 'ok' || ending.result.type === 'absent') return 0;
  return ending.result.version;
}
