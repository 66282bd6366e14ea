// Judges a history: is there, for each key, one order of the operations that explains every answer
// and respects which operation ended before another began? Keys are independent, so each is judged
// alone. "Undecided" is an answer of its own and never counts as good.

import { describeOperation, type Operation } from './history.ts';
import { type DeadEnd, searchOrder } from './linearizable-search.ts';
import { describeState } from './register-model.ts';
import { findVersionConflict, type VersionConflict } from './version-order.ts';

export type Verdict =
  | { readonly type: 'linearizable'; readonly steps: number }
  | { readonly type: 'violation'; readonly key: string; readonly explanation: string }
  | { readonly type: 'undecided'; readonly key: string; readonly steps: number };

export interface CheckOptions {
  /** How many placements of one operation are tried for one key. */
  readonly stepsMaxPerKey?: number;
}

const STEPS_MAX_PER_KEY = 5_000_000;

/** The first violation; otherwise the first key that could not be decided; otherwise good. */
export function checkLinearizable(
  history: readonly Operation[],
  options: CheckOptions = {},
): Verdict {
  const stepsMax = options.stepsMaxPerKey ?? STEPS_MAX_PER_KEY;
  let undecided: Verdict | undefined;
  let steps = 0;
  for (const [key, operations] of byKey(history)) {
    const conflict = findVersionConflict(operations);
    if (conflict !== undefined) {
      return { type: 'violation', key, explanation: explainConflict(key, conflict) };
    }
    const result = searchOrder(operations, stepsMax);
    if (result.type === 'none') {
      return { type: 'violation', key, explanation: explain(key, operations, stepsMax) };
    }
    if (result.type === 'undecided') undecided ??= { type: 'undecided', key, steps: result.steps };
    steps += result.steps;
  }
  return undecided ?? { type: 'linearizable', steps };
}

/** In order of their starts, without what has not happened and never will. */
function byKey(history: readonly Operation[]): Map<string, Operation[]> {
  const keys = new Map<string, Operation[]>();
  const inOrder = history.toSorted((a, b) => a.start - b.start);
  for (const operation of inOrder) {
    if (operation.ending.type === 'fail') continue;
    const operations = keys.get(operation.key);
    if (operations === undefined) keys.set(operation.key, [operation]);
    else operations.push(operation);
  }
  return keys;
}

/**
 * Every beginning of a good history is good. So there is one answer that first made this one
 * impossible; it is found by halving, and the history up to it is the smallest that shows the fault.
 */
function explain(key: string, operations: readonly Operation[], stepsMax: number): string {
  const ends = operations
    .filter((operation) => operation.ending.type === 'ok')
    .map((operation) => operation.end ?? 0)
    .sort((a, b) => a - b);
  let good = -1;
  let bad = ends.length - 1;
  let deepest: DeadEnd | undefined;
  while (bad - good > 1 || deepest === undefined) {
    const middle = bad - good > 1 ? Math.floor((good + bad) / 2) : bad;
    const result = searchOrder(until(operations, ends[middle] ?? 0), stepsMax);
    if (result.type === 'none') deepest = result.deepest;
    else if (middle === bad) break;
    if (result.type === 'none') bad = middle;
    else good = middle;
  }
  const culprit = operations.find((operation) => operation.end === ends[bad]);
  return writeExplanation({ key, culprit, deepest });
}

function explainConflict(key: string, { earlier, later }: VersionConflict): string {
  return [
    `The version of key ${JSON.stringify(key)} went back. This was answered:`,
    `    ${describeOperation(earlier)}`,
    '  before this was asked for, which knows only an older version:',
    `    ${describeOperation(later)}`,
  ].join('\n');
}

/** What was known at this position: later begins are not there, later answers are not known. */
function until(operations: readonly Operation[], position: number): readonly Operation[] {
  return operations
    .filter((operation) => operation.start <= position)
    .map((operation) =>
      (operation.end ?? 0) <= position
        ? operation
        : { ...operation, end: undefined, ending: { type: 'unknown' } },
    );
}

function writeExplanation(found: {
  readonly key: string;
  readonly culprit: Operation | undefined;
  readonly deepest: DeadEnd | undefined;
}): string {
  const { key, culprit, deepest } = found;
  const list = (operations: readonly Operation[]): string[] =>
    operations.length === 0
      ? ['    (none)']
      : operations.map((operation) => `    ${describeOperation(operation)}`);
  const lines = [`No order of the operations on key ${JSON.stringify(key)} explains the answers.`];
  if (culprit !== undefined) {
    lines.push('  It became impossible with this answer:', ...list([culprit]));
  }
  if (deepest !== undefined) {
    lines.push(
      `  The best order explains ${deepest.explained} answers. It ends with:`,
      ...list(deepest.last),
      `  and leaves the key ${describeState(deepest.state)}. Next must come one of these, and none fits:`,
      ...list(deepest.stuck),
      '  Writes of unknown outcome that were still free to happen:',
      ...list(deepest.open),
    );
  }
  return lines.join('\n');
}
