// The engine on a real disk: LevelDB through classic-level. One database holds everything of a node,
// so that one synced batch covers log, state and data of all shards (d.2 of the design).
//
// Every write is synced: LevelDB rotates its write-ahead log without syncing the old file, so a later
// synced write could survive the loss of power while an earlier unsynced one does not.

import { readdir } from 'node:fs/promises';
import { ClassicLevel } from 'classic-level';
import { assert } from '../../kernel/assert.ts';
import { EMPTY, type KeyRange } from '../../kernel/bytes.ts';
import type { Observer } from '../../kernel/observer.ts';
import type {
  Engine,
  EngineSnapshot,
  EngineStats,
  ScanOptions,
  ScanPage,
  WriteOperation,
} from './engine.ts';
import { damaged, openFailure, readFailure } from './engine-errors.ts';
import { EngineGate } from './engine-gate.ts';
import { PageBuilder } from './page-builder.ts';

export interface LevelEngineOptions {
  readonly directory: string;
  readonly observer: Observer;
  readonly tuning?: LevelTuning;
}

/** The defaults keep an idle node small; a node with memory to spare gains from a larger cache. */
export interface LevelTuning {
  /** Uncompressed blocks kept for reads. */
  readonly cacheBytes?: number;
  /** One memtable; two may be in memory at a time. */
  readonly writeBufferBytes?: number;
  /** One table file. */
  readonly fileBytes?: number;
  /** Table files kept open. */
  readonly openFilesMax?: number;
}

type Database = ClassicLevel<Uint8Array, Uint8Array>;
type NativeSnapshot = ReturnType<Database['snapshot']>;

const MEBIBYTE = 1024 * 1024;
/** Entries fetched by one visit to the thread pool: bounds the native memory it holds. */
const FETCH_MAX = 1024;
/** Bytes after which such a visit ends early. */
const FETCH_BYTES_MAX = 4 * MEBIBYTE;
/** Greater than every key of the layout: LevelDB has no word for "no end" when it compacts. */
const ABOVE_ALL_KEYS = new Uint8Array(32).fill(0xff);

export class LevelEngine implements Engine {
  readonly #database: Database;
  readonly #directory: string;
  readonly #gate: EngineGate;

  private constructor(database: Database, directory: string) {
    this.#database = database;
    this.#directory = directory;
    this.#gate = new EngineGate(directory);
  }

  /**
   * Opens the database in `directory` and creates it when there is none. Fails with UNAVAILABLE
   * (locked, not writable), DISK_FULL or INTERNAL (damaged), in words for the operator.
   */
  static async open(options: LevelEngineOptions): Promise<LevelEngine> {
    const { directory, observer, tuning = {} } = options;
    try {
      await refuseLostDatabase(directory);
    } catch (cause) {
      throw openFailure(directory, cause);
    }
    // Made only now: a ClassicLevel begins to open by itself soon after it is made.
    const database = new ClassicLevel<Uint8Array, Uint8Array>(directory, {
      keyEncoding: 'view',
      valueEncoding: 'view',
      cacheSize: tuning.cacheBytes ?? 32 * MEBIBYTE,
      writeBufferSize: tuning.writeBufferBytes ?? 16 * MEBIBYTE,
      maxFileSize: tuning.fileBytes ?? 8 * MEBIBYTE,
      maxOpenFiles: tuning.openFilesMax ?? 1000,
    });
    try {
      await database.open();
    } catch (cause) {
      throw openFailure(directory, cause);
    }
    const engine = new LevelEngine(database, directory);
    observer.log.info({ directory, ...engine.stats() }, 'storage opened');
    return engine;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    this.#gate.requireOpen();
    try {
      return this.#database.getSync(key);
    } catch (cause) {
      throw readFailure(this.#directory, cause);
    }
  }

  write(operations: readonly WriteOperation[]): Promise<void> {
    return this.#gate.write(() => this.#write(operations));
  }

  snapshot(): EngineSnapshot {
    this.#gate.requireOpen();
    return new LevelSnapshot(this.#database.snapshot());
  }

  scan(options: ScanOptions): Promise<ScanPage> {
    return this.#gate.run(() => this.#scan(options));
  }

  compact({ start, end }: KeyRange): Promise<void> {
    const last = end.length === 0 ? ABOVE_ALL_KEYS : end;
    return this.#gate.run(() => this.#database.compactRange(start, last));
  }

  stats(): EngineStats {
    this.#gate.requireOpen();
    const property = (name: string): string => this.#database.getProperty(`leveldb.${name}`);
    const inMemory = Number(property('approximate-memory-usage'));
    return {
      filesAtLevel0: Number(property('num-files-at-level0')),
      bytes: inMemory + bytesInFiles(property('stats')),
    };
  }

  close(): Promise<void> {
    return this.#gate.close(() => this.#database.close());
  }

  /** A chained batch copies each operation straight into LevelDB: half the time of an array of them. */
  async #write(operations: readonly WriteOperation[]): Promise<void> {
    const batch = this.#database.batch();
    try {
      for (const operation of operations) {
        if (operation.type === 'put') batch.put(operation.key, operation.value);
        else batch.del(operation.key);
      }
    } catch (error) {
      await batch.close();
      throw error;
    }
    await batch.write({ sync: true });
  }
  #scan(options: ScanOptions): Promise<ScanPage> {
    const { snapshot } = options;
    if (snapshot === undefined) return this.#page(options, {});
    assert(snapshot instanceof LevelSnapshot, 'The snapshot of another engine');
    return snapshot.read((native) => this.#page(options, { snapshot: native }));
  }

  async #page(options: ScanOptions, source: { snapshot?: NativeSnapshot }): Promise<ScanPage> {
    const { start, end, bytesMax, reverse = false, keysOnly = false } = options;
    const page = new PageBuilder(options);
    const iterator = this.#database.iterator({
      ...source,
      gte: start,
      ...(end.length > 0 && { lt: end }),
      reverse,
      values: !keysOnly,
      // LevelDB stops a fetch once it holds more than this.
      highWaterMarkBytes: Math.min(bytesMax, FETCH_BYTES_MAX) - 1,
    });
    try {
      for (;;) {
        // One entry more than the page takes tells whether there are more.
        const fetched = await iterator.nextv(Math.min(page.room + 1, FETCH_MAX));
        if (fetched.length === 0) return page.finish(false);
        for (const [key, value] of fetched) {
          if (!page.add({ key, value: keysOnly ? EMPTY : value })) return page.finish(true);
        }
      }
    } finally {
      await iterator.close();
    }
  }
}

class LevelSnapshot implements EngineSnapshot {
  readonly #native: NativeSnapshot;
  readonly #reading = new Set<Promise<ScanPage>>();
  #closing: Promise<void> | undefined;

  constructor(native: NativeSnapshot) {
    this.#native = native;
  }

  async read(scan: (native: NativeSnapshot) => Promise<ScanPage>): Promise<ScanPage> {
    assert(this.#closing === undefined, 'A snapshot was read after its close');
    const reading = scan(this.#native);
    this.#reading.add(reading);
    try {
      return await reading;
    } finally {
      this.#reading.delete(reading);
    }
  }

  close(): Promise<void> {
    this.#closing ??= Promise.allSettled(this.#reading).then(() => this.#native.close());
    return this.#closing;
  }
}

/**
 * LevelDB takes a directory without CURRENT for a new one and would start empty beside the files of a
 * lost database: a store that forgets its votes. A first start that was cut short left no such files.
 */
async function refuseLostDatabase(directory: string): Promise<void> {
  const names = await namesIn(directory);
  const hasContent = names.some((name) => name.endsWith('.ldb') || name.endsWith('.log'));
  if (hasContent && !names.includes('CURRENT')) {
    throw damaged(directory, 'the file CURRENT is missing');
  }
}

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}

/** Sums the column of sizes of LevelDB's table of levels: level, files, size in MiB, times. */
function bytesInFiles(stats: string): number {
  let bytes = 0;
  for (const line of stats.split('\n')) {
    const [level, , size] = line.trim().split(/\s+/);
    if (level !== undefined && /^\d+$/.test(level)) bytes += Number(size) * MEBIBYTE;
  }
  return bytes;
}
