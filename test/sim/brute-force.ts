// The definition of linearizable, spelled out without any cleverness: try every order and every
// choice of the unknown writes that took effect. Only for a handful of operations; the checker that
// is used must agree with it. Versions of unknown writes are guessed one by one, not kept symbolic.

import type { Action, Operation, Result } from './history.ts';

interface Plain {
  readonly value: string | undefined;
  readonly version: number;
}

/** Guesses for the version of an unknown write stay below this; so must the history's versions. */
export const VERSION_MAX = 24;

export function isLinearizableByBruteForce(operations: readonly Operation[]): boolean {
  const left = operations.filter((operation) => operation.ending.type !== 'fail');
  return tryAll(left, { value: undefined, version: 0 });
}

function tryAll(left: readonly Operation[], state: Plain): boolean {
  if (left.every((operation) => operation.ending.type === 'unknown')) return true;
  return left.some((operation) => {
    const others = left.filter((other) => other !== operation);
    const mustBeLater = others.some(
      (other) =>
        other.ending.type === 'ok' && other.end !== undefined && other.end < operation.start,
    );
    if (mustBeLater) return false;
    return outcomes(state, operation).some((next) => tryAll(others, next));
  });
}

function outcomes(state: Plain, { action, ending }: Operation): readonly Plain[] {
  if (ending.type === 'ok') {
    const version = ending.result.type === 'written' ? ending.result.version : 0;
    const { result, next } = execute(state, action, version);
    const isEqual = JSON.stringify(result) === JSON.stringify(ending.result);
    return isEqual && (next === state || next.version > state.version) ? [next] : [];
  }
  const guesses: Plain[] = [];
  for (let version = state.version + 1; version <= VERSION_MAX; version += 1) {
    const { next } = execute(state, action, version);
    if (next !== state) guesses.push(next);
  }
  return guesses;
}

function execute(state: Plain, action: Action, version: number): { result: Result; next: Plain } {
  const { value } = state;
  if (action.type === 'get') {
    const found = value !== undefined;
    const result: Result = found
      ? { type: 'found', value, version: state.version }
      : { type: 'absent' };
    return { result, next: state };
  }
  const existed = value !== undefined;
  const condition = action.precondition;
  const holds =
    condition === undefined ||
    (condition.type === 'absent' && !existed) ||
    (condition.type === 'present' && existed) ||
    (condition.type === 'version' && existed && state.version === condition.version);
  if (!holds) {
    const current = existed ? state.version : 0;
    return {
      result: { type: 'written', applied: false, existed, version: current },
      next: state,
    };
  }
  return {
    result: { type: 'written', applied: true, existed, version },
    next: { value: action.type === 'put' ? action.value : undefined, version },
  };
}
