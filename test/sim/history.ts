// What the clients of a run asked for and were told, in the order in which it happened. Begins and
// ends get positions from one counter: "ended before the other began" is then exact, also for events
// in the same millisecond.

import { assert, must } from '../../src/kernel/assert.ts';
import type { Precondition } from '../../src/node/shard/kv-types.ts';

export type Action =
  | { readonly type: 'get' }
  | { readonly type: 'put'; readonly value: string; readonly precondition?: Precondition }
  | { readonly type: 'delete'; readonly precondition?: Precondition };

export type Result =
  | { readonly type: 'found'; readonly value: string; readonly version: number }
  | { readonly type: 'absent' }
  | {
      readonly type: 'written';
      readonly applied: boolean;
      readonly existed: boolean;
      readonly version: number;
    };

/**
 * `ok`: it happened, with this result. `fail`: it has not happened and never will. `unknown`: it may
 * have happened, or may yet, at any later time. Without an answer at all it is `unknown` as well.
 */
export type Ending =
  | { readonly type: 'ok'; readonly result: Result }
  | { readonly type: 'fail' }
  | { readonly type: 'unknown' };

export interface Operation {
  readonly id: number;
  /** A process does one thing after the other. After an unknown outcome it is a new process. */
  readonly process: number;
  readonly key: string;
  readonly action: Action;
  /** Position of the begin, and of the end when there is one that means something. */
  readonly start: number;
  readonly end: number | undefined;
  readonly startMs: number;
  readonly endMs: number | undefined;
  readonly ending: Ending;
}

/** Bounds the memory of a run that does not end. */
const OPERATIONS_MAX = 1_000_000;

export class History {
  readonly #now: () => number;
  readonly #operations: Operation[] = [];
  #position = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  begin(call: { readonly process: number; readonly key: string; readonly action: Action }): number {
    assert(this.#operations.length < OPERATIONS_MAX, 'The history is full');
    const id = this.#operations.length;
    this.#operations.push({
      ...call,
      id,
      start: this.#takePosition(),
      end: undefined,
      startMs: this.#now(),
      endMs: undefined,
      ending: { type: 'unknown' },
    });
    return id;
  }

  end(id: number, ending: Ending): void {
    const operation = must(this.#operations[id], `There is no operation ${id}`);
    assert(operation.end === undefined, `Operation ${id} ended already`);
    this.#operations[id] = {
      ...operation,
      end: this.#takePosition(),
      endMs: this.#now(),
      ending,
    };
  }

  operations(): readonly Operation[] {
    return this.#operations;
  }

  #takePosition(): number {
    this.#position += 1;
    return this.#position;
  }
}

export function describeOperation(operation: Operation): string {
  const { id, process, action, startMs, endMs } = operation;
  const time = `${startMs.toFixed(3)}..${endMs === undefined ? '' : endMs.toFixed(3)} ms`;
  return `#${id} process ${process} ${time}: ${describeAction(action)} -> ${describeEnding(operation.ending)}`;
}

function describeAction(action: Action): string {
  if (action.type === 'get') return 'get';
  const what = action.type === 'put' ? `put ${JSON.stringify(action.value)}` : 'delete';
  const condition = action.precondition;
  if (condition === undefined) return what;
  return `${what} if ${condition.type === 'version' ? `version ${condition.version}` : condition.type}`;
}

function describeEnding(ending: Ending): string {
  if (ending.type === 'fail') return 'not applied (error)';
  if (ending.type === 'unknown') return 'unknown';
  const { result } = ending;
  if (result.type === 'absent') return 'absent';
  if (result.type === 'found') return `${JSON.stringify(result.value)} version ${result.version}`;
  const before = result.existed ? 'existed' : 'was absent';
  return `${result.applied ? 'applied' : 'condition failed'}, ${before}, version ${result.version}`;
}
