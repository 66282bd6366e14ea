// The replicated log, as far as it is held in memory: a window that starts behind the last compacted
// entry. It also keeps the marks that say how far entries are stored, committed and applied.

import { assert, must } from '../../kernel/assert.ts';
import type { EntryId, LogIndex, Term } from '../../kernel/ids.ts';
import type { Entry } from './messages.ts';

/** What an entry costs beside its data, so that a flood of empty entries is bounded as well. */
const ENTRY_OVERHEAD_BYTES = 32;

export interface LogMarks {
  readonly truncated: EntryId;
  readonly entries: readonly Entry[];
  readonly commit: LogIndex;
  readonly applied: LogIndex;
}

/**
 * Invariants:
 * - `entries` holds exactly the indexes truncated.index + 1 to last.index, without gaps.
 * - Terms never fall from one entry to the next.
 * - truncated.index <= applied <= taken <= commit <= last.index; none of the middle three goes back.
 * - taken <= offered <= last.index: what is applied was handed out for storing before or with it.
 * - An entry at or below `commit` is never replaced.
 */
export class Log {
  #truncated: EntryId;
  #entries: Entry[];
  #bytes: number;
  #commit: LogIndex;
  /** The owner has applied up to here. */
  #applied: LogIndex;
  /** Handed out for applying up to here. */
  #taken: LogIndex;
  /** Handed out for storing up to here. */
  #offered: LogIndex;
  /** Known to be durable up to here. */
  #stable: LogIndex;

  constructor(marks: LogMarks) {
    this.#truncated = marks.truncated;
    this.#entries = [...marks.entries];
    this.#bytes = sizeOf(marks.entries);
    this.#commit = marks.commit;
    this.#applied = marks.applied;
    this.#taken = marks.applied;
    this.#offered = marks.truncated.index + marks.entries.length;
    this.#stable = this.#offered;
  }

  /** The entry just before the window. */
  get truncated(): EntryId {
    return this.#truncated;
  }

  get last(): EntryId {
    const entry = this.#entries.at(-1);
    return entry === undefined ? this.#truncated : { term: entry.term, index: entry.index };
  }

  get commit(): LogIndex {
    return this.#commit;
  }

  get applied(): LogIndex {
    return this.#applied;
  }

  get stable(): LogIndex {
    return this.#stable;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The term of an entry of the window or of the one just before it; undefined elsewhere. */
  term(index: LogIndex): Term | undefined {
    if (index === this.#truncated.index) return this.#truncated.term;
    return this.#at(index)?.term;
  }

  holds(id: EntryId): boolean {
    return this.term(id.index) === id.term;
  }

  /** Entries from `from` on: as many as fit, but at least one if there is one. */
  read(from: LogIndex, bytesMax: number): Entry[] {
    return this.#cut({ from, to: this.last.index, bytesMax });
  }

  /** What the entries in (from, to] weigh. */
  bytesBetween(from: LogIndex, to: LogIndex): number {
    return sizeOf(this.#slice(from + 1, to));
  }

  /** Adds entries at the end, as a leader does with its own. */
  append(entries: readonly Entry[]): void {
    for (const entry of entries) {
      assert(
        entry.index === this.last.index + 1 && entry.term >= this.last.term,
        `Entry ${entry.term}/${entry.index} does not follow ${this.last.term}/${this.last.index}`,
      );
      this.#entries.push(entry);
      this.#bytes += entrySize(entry);
    }
  }

  /**
   * Takes over a leader's entries behind `previous`, replacing what contradicts them (Raft 5.3).
   * False, with nothing changed, when they would contradict what is committed: no correct leader
   * sends that. The caller has checked that the log holds `previous` and that the entries follow it.
   */
  accept(entries: readonly Entry[]): boolean {
    const fresh = entries.findIndex((entry) => !this.holds(entry));
    const first = entries[fresh];
    if (first === undefined) return true;
    if (first.index <= this.#commit) return false;
    this.#cutBack(first.index - 1);
    this.append(entries.slice(fresh));
    return true;
  }

  /**
   * The newest entry at or below `limit.index` whose term is not above `limit.term`. All entries
   * above it cannot equal a log that has `limit` there, so a whole term is skipped at a time.
   */
  lastAgreeable(limit: EntryId): EntryId {
    let index = Math.min(limit.index, this.last.index);
    for (; index > this.#truncated.index; index -= 1) {
      const term = must(this.term(index), `Entry ${index} is not in the window`);
      if (term <= limit.term) return { term, index };
    }
    // Below the window nothing is known: a term of 0 says so.
    return { term: this.term(index) ?? 0, index };
  }

  /** Marks entries as committed. Marks below the present one are old news. */
  commitTo(index: LogIndex): boolean {
    if (index <= this.#commit) return false;
    assert(
      index <= this.last.index,
      `Cannot commit ${index} as the log ends at ${this.last.index}`,
    );
    this.#commit = index;
    return true;
  }

  appliedTo(index: LogIndex): void {
    assert(index <= this.#taken, `Entry ${index} was applied but only ${this.#taken} handed out`);
    this.#applied = Math.max(this.#applied, index);
  }

  /** True when a committed change of members waits to be applied. */
  hasUnappliedConf(): boolean {
    return this.#slice(this.#applied + 1, this.#commit).some((entry) => entry.kind === 'conf');
  }

  hasUnoffered(): boolean {
    return this.#offered < this.last.index;
  }

  /** Hands out, once, the entries that have to be stored. */
  offer(): Entry[] {
    const entries = this.#slice(this.#offered + 1, this.last.index);
    this.#offered = this.last.index;
    return entries;
  }

  hasCommitted(): boolean {
    return this.#taken < this.#commit;
  }

  /** Hands out, once, committed entries that are stored or being stored. */
  takeCommitted(bytesMax: number): Entry[] {
    const to = Math.min(this.#commit, this.#offered);
    const entries = this.#cut({ from: this.#taken + 1, to, bytesMax });
    this.#taken += entries.length;
    return entries;
  }

  /** The disk holds everything up to `id`, unless it was replaced in memory meanwhile. */
  stableTo(id: EntryId): void {
    if (this.holds(id)) this.#stable = Math.max(this.#stable, id.index);
  }

  /** Forgets applied entries up to `to`. */
  compact(to: LogIndex): void {
    if (to <= this.#truncated.index) return;
    assert(to <= this.#applied, `Cannot compact to ${to} as only ${this.#applied} is applied`);
    const term = must(this.term(to), `Entry ${to} is not in the window`);
    const gone = this.#entries.splice(0, to - this.#truncated.index);
    this.#bytes -= sizeOf(gone);
    this.#truncated = { term, index: to };
  }

  /** A snapshot takes the place of the whole log. It becomes stable when its Ready is persisted. */
  reset(last: EntryId): void {
    assert(
      last.index > this.#commit,
      `Cannot restore ${last.index} as ${this.#commit} is committed`,
    );
    this.#truncated = last;
    this.#entries = [];
    this.#bytes = 0;
    this.#commit = last.index;
    this.#applied = last.index;
    this.#taken = last.index;
    this.#offered = last.index;
    this.#stable = Math.min(this.#stable, last.index);
  }

  #at(index: LogIndex): Entry | undefined {
    // A negative position would count from the end, but at() is not used: plain indexing does not.
    return this.#entries[index - this.#truncated.index - 1];
  }

  /** The entries from `from` to `to`, both included. */
  #slice(from: LogIndex, to: LogIndex): Entry[] {
    const base = this.#truncated.index + 1;
    return this.#entries.slice(Math.max(from - base, 0), Math.max(to - base + 1, 0));
  }

  #cut(range: { from: LogIndex; to: LogIndex; bytesMax: number }): Entry[] {
    const entries: Entry[] = [];
    let bytes = 0;
    for (let index = range.from; index <= range.to; index += 1) {
      const entry = must(this.#at(index), `Entry ${index} is not in the window`);
      bytes += entrySize(entry);
      if (entries.length > 0 && bytes > range.bytesMax) break;
      entries.push(entry);
    }
    return entries;
  }

  #cutBack(last: LogIndex): void {
    const gone = this.#entries.splice(last - this.#truncated.index);
    this.#bytes -= sizeOf(gone);
    this.#offered = Math.min(this.#offered, last);
    this.#stable = Math.min(this.#stable, last);
  }
}

function entrySize(entry: { readonly data: Uint8Array }): number {
  return entry.data.length + ENTRY_OVERHEAD_BYTES;
}

export function sizeOf(entries: readonly Entry[]): number {
  return entries.reduce((bytes, entry) => bytes + entrySize(entry), 0);
}
