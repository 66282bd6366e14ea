// The search for one order of the operations on one key that explains every answer (Wing and Gong,
// with the memory of Lowe and porcupine: a set of operations done and the state they led to is tried
// once). Iterative, because histories are long, and bounded, because the worst case is exponential.
//
// Five facts keep the usual case linear:
//   1. An operation that fits and changes nothing can be placed at once: it never stands in the way.
//   2. A write with unknown outcome need be placed only right before an operation that could not be
//      explained as well without it; unused, it may still serve later.
//   3. Versions only grow. A step that puts the key beyond the smallest version that an answer still
//      to be explained names is a step too far; so acknowledged writes have just one order.
//   4. Writes with unknown outcome are offered sparingly: see `open-writes.ts`.
//   5. Full prefixes of the set of done operations cost nothing to remember.

import { must } from '../../src/kernel/assert.ts';
import type { Operation } from './history.ts';
import { type OpenWrite, OpenWrites, usesNoMore } from './open-writes.ts';
import { OperationSet } from './operation-set.ts';
import { covers, type KeyState, NEVER_WRITTEN, step } from './register-model.ts';
import { versionBeforeMax } from './version-order.ts';

export type SearchResult =
  | { readonly type: 'found'; readonly steps: number }
  | { readonly type: 'none'; readonly steps: number; readonly deepest: DeadEnd }
  | { readonly type: 'undecided'; readonly steps: number };

/** The point at which the most answers were explained. */
export interface DeadEnd {
  readonly explained: number;
  /** The last operations of the order that led here, oldest first. */
  readonly last: readonly Operation[];
  readonly state: KeyState;
  /** Operations that could have come next, and whose answers do not fit. */
  readonly stuck: readonly Operation[];
  /** Writes with unknown outcome that had not been used. */
  readonly open: readonly Operation[];
}

const LAST_KEPT = 6;

interface Frame {
  readonly state: KeyState;
  readonly candidates: readonly Candidate[];
  next: number;
  /** The step that led here; the first frame has none. */
  readonly via: Candidate | undefined;
  readonly parent: Frame | undefined;
}

type Candidate = Answered | OpenCandidate;

interface Answered {
  readonly type: 'answered';
  readonly operation: Operation;
  readonly index: number;
  /** The greatest version that the key may have before it; infinite when its answer names none. */
  readonly versionBeforeMax: number;
}

interface OpenCandidate {
  readonly type: 'open';
  readonly operation: Operation;
  readonly write: OpenWrite;
}

/** `operations` are those of one key, in order of their starts, without those that failed. */
export function searchOrder(operations: readonly Operation[], stepsMax: number): SearchResult {
  return new OrderSearch(operations, stepsMax).run();
}

class OrderSearch {
  readonly #stepsMax: number;
  readonly #answered: readonly Answered[];
  readonly #answeredDone: OperationSet;
  readonly #open: OpenWrites;
  /** The answered operations by the versions in their answers, and which places of it are done. */
  readonly #byVersion: readonly Answered[];
  readonly #placeByIndex: readonly number[];
  readonly #placesDone: OperationSet;
  /** For each set of explained answers and each state: which open writes were used up. */
  readonly #tried = new Map<string, string[]>();
  #steps = 0;
  #deepest: Frame | undefined;
  #deadEnd: DeadEnd | undefined;

  constructor(operations: readonly Operation[], stepsMax: number) {
    this.#stepsMax = stepsMax;
    this.#answered = operations
      .filter((operation) => operation.ending.type === 'ok')
      .map((operation, index) => ({
        type: 'answered',
        operation,
        index,
        versionBeforeMax: versionBeforeMax(operation),
      }));
    this.#answeredDone = new OperationSet(this.#answered.length);
    this.#open = new OpenWrites(operations);
    this.#byVersion = this.#answered.toSorted(compareVersions);
    const places: number[] = [];
    this.#byVersion.forEach(({ index }, place) => {
      places[index] = place;
    });
    this.#placeByIndex = places;
    this.#placesDone = new OperationSet(places.length);
  }

  run(): SearchResult {
    let frame = this.#enter({ state: NEVER_WRITTEN, via: undefined, parent: undefined });
    while (this.#answeredDone.size < this.#answered.length) {
      const candidate = frame.candidates[frame.next];
      frame.next += 1;
      if (candidate === undefined) {
        if (frame.via !== undefined) this.#unmark(frame.via);
        if (frame.parent === undefined) return this.#none();
        frame = frame.parent;
        continue;
      }
      this.#steps += 1;
      if (this.#steps > this.#stepsMax) return { type: 'undecided', steps: this.#steps };
      frame = this.#tryNext(frame, candidate) ?? frame;
    }
    return { type: 'found', steps: this.#steps };
  }

  /** The frame behind this candidate, unless it does not fit, is of no use, or was tried before. */
  #tryNext(frame: Frame, candidate: Candidate): Frame | undefined {
    const state = place(frame.state, candidate);
    if (state === undefined) return undefined;
    if (frame.via?.type === 'open' && frame.parent !== undefined) {
      const without = place(frame.parent.state, candidate);
      if (without !== undefined && covers(without, state)) return undefined;
    }
    this.#mark(candidate);
    const isUseful = state.version <= this.#versionMax() && this.#isNew(state);
    if (isUseful) return this.#enter({ state, via: candidate, parent: frame });
    this.#unmark(candidate);
    return undefined;
  }

  /** The greatest version that leaves room for every answer that is still to be explained. */
  #versionMax(): number {
    let place = this.#placesDone.firstCandidate();
    while (this.#placesDone.has(place)) place += 1;
    return this.#byVersion[place]?.versionBeforeMax ?? Number.POSITIVE_INFINITY;
  }

  /** False when the same was reached before with the same open writes, or fewer, used up. */
  #isNew(state: KeyState): boolean {
    const value = state.value === undefined ? 'absent' : `=${state.value}`;
    const key = `${this.#answeredDone.text()}|${state.version}|${state.isExact}|${value}`;
    const used = this.#open.usedText();
    const before = this.#tried.get(key);
    if (before?.some((fewer) => usesNoMore({ fewer, than: used })) === true) return false;
    if (before === undefined) this.#tried.set(key, [used]);
    else before.push(used);
    return true;
  }

  #enter(place: Pick<Frame, 'state' | 'via' | 'parent'>): Frame {
    const frame: Frame = { ...place, candidates: this.#candidatesAt(place.state), next: 0 };
    const explained = this.#answeredDone.size;
    if (this.#deadEnd === undefined || explained > this.#deadEnd.explained) {
      this.#deepest = frame;
      this.#deadEnd = { explained, last: lastOf(frame), state: frame.state, stuck: [], open: [] };
    }
    return frame;
  }

  /** Operations that can come next: no other one that is left ended before they began. */
  #candidatesAt(state: KeyState): readonly Candidate[] {
    const answered: Answered[] = [];
    let firstEnd = Number.POSITIVE_INFINITY;
    for (let at = this.#answeredDone.firstCandidate(); at < this.#answered.length; at += 1) {
      if (this.#answeredDone.has(at)) continue;
      const candidate = must(this.#answered[at], `No operation at ${at}`);
      if (candidate.operation.start > firstEnd) break;
      firstEnd = Math.min(firstEnd, endOf(candidate));
      answered.push(candidate);
    }
    const possible = answered.filter((candidate) => candidate.operation.start <= firstEnd);
    const free = possible.find((candidate) => step(state, candidate.operation) === state);
    if (free !== undefined) return [free];
    possible.sort((a, b) => endOf(a) - endOf(b));
    const versionNext = this.#versionMax();
    const open = this.#open.candidates({ startMax: firstEnd, versionNext, state });
    return [
      ...possible,
      ...open.map((write): Candidate => ({ type: 'open', operation: write.operation, write })),
    ];
  }

  #none(): SearchResult {
    const deadEnd = must(this.#deadEnd, 'A search has at least one frame');
    const candidates = this.#deepest?.candidates ?? [];
    const operationsOf = (type: Candidate['type']): readonly Operation[] =>
      candidates.filter((one) => one.type === type).map((one) => one.operation);
    const deepest = { ...deadEnd, stuck: operationsOf('answered'), open: operationsOf('open') };
    return { type: 'none', steps: this.#steps, deepest };
  }

  #mark(candidate: Candidate): void {
    if (candidate.type === 'open') {
      this.#open.take(candidate.write);
      return;
    }
    this.#answeredDone.add(candidate.index);
    this.#placesDone.add(this.#placeOf(candidate));
  }

  #unmark(candidate: Candidate): void {
    if (candidate.type === 'open') {
      this.#open.giveBack(candidate.write);
      return;
    }
    this.#answeredDone.delete(candidate.index);
    this.#placesDone.delete(this.#placeOf(candidate));
  }

  #placeOf({ index }: Answered): number {
    return must(this.#placeByIndex[index], `Answer ${index} has no place`);
  }
}

/** The state after the candidate; a write whose version is known by reads gets exactly that. */
function place(state: KeyState, candidate: Candidate): KeyState | undefined {
  const next = step(state, candidate.operation);
  if (next === undefined || candidate.type === 'answered') return next;
  const { version } = candidate.write;
  if (version === undefined) return next;
  return next.version <= version ? { value: next.value, version, isExact: true } : undefined;
}

function compareVersions(a: Answered, b: Answered): number {
  if (a.versionBeforeMax === b.versionBeforeMax) return a.index - b.index;
  return a.versionBeforeMax < b.versionBeforeMax ? -1 : 1;
}

function endOf(candidate: Answered): number {
  return candidate.operation.end ?? Number.POSITIVE_INFINITY;
}

function lastOf(frame: Frame): readonly Operation[] {
  const last: Operation[] = [];
  let at: Frame | undefined = frame;
  while (at?.via !== undefined && last.length < LAST_KEPT) {
    last.unshift(at.via.operation);
    at = at.parent;
  }
  return last;
}
