// The writes of unknown outcome on one key, as the search sees them: any of them may take effect at
// any time after its begin, or never. Trying each at each place would be hopeless; two facts help.
//
//   1. A write whose value some read found, and no other write has, took effect exactly at the version
//      in that answer. It is offered only when that version comes next.
//   2. Writes whose values nobody found differ in nothing that can be seen, if they do the same under
//      the same condition. Of such a class only the one that began first is offered.

import { must } from '../../src/kernel/assert.ts';
import type { Operation } from './history.ts';
import { OperationSet } from './operation-set.ts';
import type { KeyState } from './register-model.ts';

export interface OpenWrite {
  readonly operation: Operation;
  /** The version that reads found it at, when they did. */
  readonly version: number | undefined;
  /** The class, or the place among those with a version. */
  readonly slot: number;
}

interface OpenClass {
  /** The version that the writes of this class wait for, when they do. */
  readonly condition: number | undefined;
  /** In order of their starts; always used from the front. */
  readonly members: readonly OpenWrite[];
  used: number;
}

export class OpenWrites {
  readonly #classes: readonly OpenClass[];
  readonly #unconditional: readonly OpenClass[];
  readonly #byCondition: ReadonlyMap<number, readonly OpenClass[]>;
  readonly #byVersion: ReadonlyMap<number, readonly OpenWrite[]>;
  readonly #foundDone: OperationSet;

  /** All operations on the key, in order of their starts. */
  constructor(operations: readonly Operation[]) {
    const versionsByValue = foundVersions(operations);
    const writers = writersByValue(operations);
    const classes = new Map<string, OpenClass & { members: OpenWrite[] }>();
    const byVersion = new Map<number, OpenWrite[]>();
    let found = 0;
    for (const operation of operations) {
      if (operation.ending.type !== 'unknown' || operation.action.type === 'get') continue;
      const value = operation.action.type === 'put' ? operation.action.value : undefined;
      const version = value === undefined ? undefined : versionsByValue.get(value);
      const isOnlyWriter = value !== undefined && writers.get(value) === 1;
      if (version !== undefined && isOnlyWriter) {
        const others = byVersion.get(version) ?? [];
        byVersion.set(version, [...others, { operation, version, slot: found }]);
        found += 1;
        continue;
      }
      const name = className(operation, version !== undefined);
      const members = classes.get(name)?.members ?? [];
      const slot = members[0]?.slot ?? classes.size;
      members.push({ operation, version: undefined, slot });
      classes.set(name, { condition: conditionOf(operation), members, used: 0 });
    }
    this.#classes = [...classes.values()];
    this.#unconditional = this.#classes.filter((one) => one.condition === undefined);
    this.#byCondition = Map.groupBy(
      this.#classes.filter((one) => one.condition !== undefined),
      (one) => one.condition ?? 0,
    );
    this.#byVersion = byVersion;
    this.#foundDone = new OperationSet(found);
  }

  /** Those worth a try now; `versionNext` is the smallest version that is still to be explained. */
  candidates(at: {
    readonly startMax: number;
    readonly versionNext: number;
    readonly state: KeyState;
  }): readonly OpenWrite[] {
    const found = this.#byVersion.get(at.versionNext) ?? [];
    const candidates = found.filter(({ slot }) => !this.#foundDone.has(slot));
    const waiting = at.state.isExact
      ? (this.#byCondition.get(at.state.version) ?? [])
      : [...this.#byCondition.values()].flat();
    for (const { members, used } of [...this.#unconditional, ...waiting]) {
      const first = members[used];
      if (first !== undefined) candidates.push(first);
    }
    return candidates.filter(({ operation }) => operation.start <= at.startMax);
  }

  take({ version, slot }: OpenWrite): void {
    if (version !== undefined) this.#foundDone.add(slot);
    else this.#classAt(slot).used += 1;
  }

  giveBack({ version, slot }: OpenWrite): void {
    if (version !== undefined) this.#foundDone.delete(slot);
    else this.#classAt(slot).used -= 1;
  }

  /** How many of each class are used up, one character each: see `usesNoMore`. */
  usedText(): string {
    return String.fromCharCode(...this.#classes.map((one) => one.used));
  }

  #classAt(slot: number): OpenClass {
    return must(this.#classes[slot], `There is no class ${slot}`);
  }
}

/** True when whatever can follow with `than` used up can follow with `fewer` as well. */
export function usesNoMore(used: { readonly fewer: string; readonly than: string }): boolean {
  for (let at = 0; at < used.than.length; at += 1) {
    if (used.fewer.charCodeAt(at) > used.than.charCodeAt(at)) return false;
  }
  return true;
}

/** The version at which each value was found. A value found at two versions fits no order anyway. */
function foundVersions(operations: readonly Operation[]): ReadonlyMap<string, number> {
  const versions = new Map<string, number>();
  for (const { ending } of operations) {
    if (ending.type !== 'ok' || ending.result.type !== 'found') continue;
    if (!versions.has(ending.result.value)) {
      versions.set(ending.result.value, ending.result.version);
    }
  }
  return versions;
}

function writersByValue(operations: readonly Operation[]): ReadonlyMap<string, number> {
  const writers = new Map<string, number>();
  for (const { action } of operations) {
    if (action.type === 'put') writers.set(action.value, (writers.get(action.value) ?? 0) + 1);
  }
  return writers;
}

function conditionOf({ action }: Pick<Operation, 'action'>): number | undefined {
  if (action.type === 'get' || action.precondition?.type !== 'version') return undefined;
  return action.precondition.version;
}

function className({ id, action }: Operation, isFoundAndShared: boolean): string {
  if (action.type === 'get' || isFoundAndShared) return `only ${id}`;
  const condition = action.precondition?.type ?? 'always';
  return `${action.type} ${condition} ${conditionOf({ action }) ?? ''}`;
}
