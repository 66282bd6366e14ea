// What one key is allowed to do: the sequential specification that a history is compared with. A key
// has a value or none, and a version that grows with every write.
//
// The version of a write whose outcome is unknown is unknown too. Such a state stands for all versions
// from `version` on, and the first answer that names one narrows it: exact, without guessing.

import { unreachable } from '../../src/kernel/assert.ts';
import type { Precondition } from '../../src/node/shard/kv-types.ts';
import type { Action, Operation, Result } from './history.ts';

export interface KeyState {
  /** Undefined when the key is absent. */
  readonly value: string | undefined;
  /** The version; of an absent key, a number that later versions must exceed. */
  readonly version: number;
  /** False when the true version may be greater. An absent key is always exact. */
  readonly isExact: boolean;
}

export const NEVER_WRITTEN: KeyState = { value: undefined, version: 0, isExact: true };

type Written = Extract<Result, { type: 'written' }>;

/** The state after the operation had its effect and gave its answer; undefined when it cannot have. */
export function step(state: KeyState, operation: Operation): KeyState | undefined {
  const { action, ending } = operation;
  if (ending.type !== 'ok') return stepWithoutAnswer(state, action);
  const { result } = ending;
  if (action.type === 'get') return stepGet(state, result);
  if (result.type !== 'written') return undefined;
  if (result.existed !== (state.value !== undefined)) return undefined;
  return result.applied ? stepApplied(state, action, result) : stepRefused(state, action, result);
}

/** True when everything that can follow `narrow` can follow `wide` as well. */
export function covers(wide: KeyState, narrow: KeyState): boolean {
  if (wide.value !== narrow.value || wide.version > narrow.version) return false;
  if (wide.value === undefined || !wide.isExact) return true;
  return narrow.isExact && wide.version === narrow.version;
}

export function describeState(state: KeyState): string {
  if (state.value === undefined) return 'absent';
  return `${JSON.stringify(state.value)} version ${state.version}${state.isExact ? '' : ' or later'}`;
}

function stepGet(state: KeyState, result: Result): KeyState | undefined {
  if (result.type === 'absent') return state.value === undefined ? state : undefined;
  if (result.type !== 'found' || result.value !== state.value) return undefined;
  return narrowTo(state, result.version);
}

function stepApplied(
  state: KeyState,
  action: Exclude<Action, { type: 'get' }>,
  result: Written,
): KeyState | undefined {
  const before = narrowBy(state, action.precondition);
  if (before === undefined || result.version <= before.version) return undefined;
  return {
    value: action.type === 'put' ? action.value : undefined,
    version: result.version,
    isExact: true,
  };
}

/** The precondition did not hold: nothing changed, and the answer names the version that was there. */
function stepRefused(
  state: KeyState,
  action: Exclude<Action, { type: 'get' }>,
  result: Written,
): KeyState | undefined {
  const condition = action.precondition;
  if (condition === undefined) return undefined;
  if (state.value === undefined) {
    return condition.type !== 'absent' && result.version === 0 ? state : undefined;
  }
  if (condition.type === 'present') return undefined;
  if (condition.type === 'version' && condition.version === result.version) return undefined;
  return narrowTo(state, result.version);
}

/** The effect of a write that nobody was told of. No effect is no step: then it is left out. */
function stepWithoutAnswer(state: KeyState, action: Action): KeyState | undefined {
  if (action.type === 'get') return undefined;
  if (action.type === 'delete' && state.value === undefined) return undefined;
  const before = narrowBy(state, action.precondition);
  if (before === undefined) return undefined;
  const version = before.version + 1;
  return action.type === 'put'
    ? { value: action.value, version, isExact: false }
    : { value: undefined, version, isExact: true };
}

function narrowBy(state: KeyState, condition: Precondition | undefined): KeyState | undefined {
  if (condition === undefined) return state;
  const isPresent = state.value !== undefined;
  switch (condition.type) {
    case 'absent':
      return isPresent ? undefined : state;
    case 'present':
      return isPresent ? state : undefined;
    case 'version':
      return isPresent ? narrowTo(state, condition.version) : undefined;
    default:
      return unreachable(condition);
  }
}

function narrowTo(state: KeyState, version: number): KeyState | undefined {
  if (state.isExact) return state.version === version ? state : undefined;
  if (version < state.version) return undefined;
  return { value: state.value, version, isExact: true };
}
