// The engine without a disk: the ground of tests and of the simulator. What a disk would hold after
// the loss of power is a MemoryState, apart from the engine that works on it: a simulated crash drops
// the engine, decides the fate of the write in flight, and opens a new engine on the same state.

import { assert } from '../../kernel/assert.ts';
import { EMPTY, type KeyRange, rangeContains } from '../../kernel/bytes.ts';
import type {
  Engine,
  EngineEntry,
  EngineSnapshot,
  EngineStats,
  ScanOptions,
  ScanPage,
  WriteOperation,
} from './engine.ts';
import { EngineGate } from './engine-gate.ts';
import { PageBuilder } from './page-builder.ts';
import { SortedMap } from './sorted-map.ts';

/**
 * Makes one write durable: calls `apply` at most once, then resolves. To crash, never resolve, with or
 * without `apply` having been called. To fail, reject.
 */
export type Commit = (apply: () => void) => Promise<void>;

export interface MemoryEngineOptions {
  /** What was written before; a fresh, empty disk when left out. */
  readonly state?: MemoryState;
  /** When writes take effect; at once when left out. */
  readonly commit?: Commit;
}

/** What is on the disk. The engine opened last owns it; those before count as crashed. */
export class MemoryState {
  readonly #entries: SortedMap;
  #owner: object | undefined;

  constructor(entries: SortedMap = new SortedMap()) {
    this.#entries = entries;
  }

  /** An independent disk with the same content, at the price of a snapshot. */
  clone(): MemoryState {
    return new MemoryState(this.#entries.copy());
  }

  /** Hands the content to an engine. Earlier engines can no longer change it. */
  attach(owner: object): SortedMap {
    this.#owner = owner;
    return this.#entries;
  }

  isOwnedBy(owner: object): boolean {
    return this.#owner === owner;
  }
}

export class MemoryEngine implements Engine {
  readonly #gate = new EngineGate('in memory');
  readonly #state: MemoryState;
  readonly #entries: SortedMap;
  readonly #commit: Commit;

  constructor({ state = new MemoryState(), commit = applyNow }: MemoryEngineOptions = {}) {
    this.#state = state;
    this.#entries = state.attach(this);
    this.#commit = commit;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    this.#gate.requireOpen();
    const value = this.#entries.get(key);
    return value === undefined ? undefined : Buffer.from(value);
  }

  write(operations: readonly WriteOperation[]): Promise<void> {
    return this.#gate.write(async () => {
      const copies = operations.map(copyOperation);
      let isApplied = false;
      await this.#commit(() => {
        assert(!isApplied, 'A write was applied twice');
        assert(
          this.#state.isOwnedBy(this),
          'A crashed engine wrote to a disk that is in use again',
        );
        isApplied = true;
        for (const operation of copies) this.#apply(operation);
      });
      assert(isApplied, 'A write was reported durable but never applied');
    });
  }

  snapshot(): EngineSnapshot {
    this.#gate.requireOpen();
    return new MemorySnapshot(this.#entries.copy());
  }

  scan(options: ScanOptions): Promise<ScanPage> {
    // The page is cut in this call, before any other write; only the answer comes later.
    return this.#gate.run(async () => this.#page(options));
  }

  compact(_range: KeyRange): Promise<void> {
    return this.#gate.run(async () => {});
  }

  stats(): EngineStats {
    this.#gate.requireOpen();
    return { filesAtLevel0: 0, bytes: this.#entries.bytes };
  }

  close(): Promise<void> {
    return this.#gate.close(async () => {});
  }

  #apply(operation: WriteOperation): void {
    if (operation.type === 'put') this.#entries.set(operation.key, operation.value);
    else this.#entries.delete(operation.key);
  }

  #page(options: ScanOptions): ScanPage {
    const { start, end, reverse = false, keysOnly = false } = options;
    const page = new PageBuilder(options);
    const entries = this.#entriesOf(options.snapshot);
    const inOrder = reverse
      ? entries.before(end.length === 0 ? undefined : end)
      : entries.from(start);
    for (const entry of inOrder) {
      if (!rangeContains({ start, end }, entry.key)) break;
      if (!page.add(copyEntry(entry, keysOnly))) return page.finish(true);
    }
    return page.finish(false);
  }

  #entriesOf(snapshot: EngineSnapshot | undefined): SortedMap {
    if (snapshot === undefined) return this.#entries;
    assert(snapshot instanceof MemorySnapshot, 'The snapshot of another engine');
    return snapshot.entries;
  }
}

class MemorySnapshot implements EngineSnapshot {
  #entries: SortedMap | undefined;

  constructor(entries: SortedMap) {
    this.#entries = entries;
  }

  get entries(): SortedMap {
    assert(this.#entries !== undefined, 'A snapshot was read after its close');
    return this.#entries;
  }

  async close(): Promise<void> {
    this.#entries = undefined;
  }
}

const applyNow: Commit = async (apply) => apply();

function copyOperation(operation: WriteOperation): WriteOperation {
  const key = Buffer.from(operation.key);
  if (operation.type === 'delete') return { type: 'delete', key };
  return { type: 'put', key, value: Buffer.from(operation.value) };
}

function copyEntry({ key, value }: EngineEntry, keysOnly: boolean): EngineEntry {
  return { key: Buffer.from(key), value: keysOnly ? EMPTY : Buffer.from(value) };
}
