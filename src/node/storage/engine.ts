// The port to the disk: ordered bytes with atomic, durable batches. Two implementations, LevelDB and
// memory, pass one contract suite (`engine-suite.ts`); the simulator wraps the memory engine.

import type { KeyRange } from '../../kernel/bytes.ts';

export type WriteOperation =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'delete'; readonly key: Uint8Array };

export interface EngineEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export interface ScanOptions extends KeyRange {
  /** Stop after so many entries, >= 1. */
  readonly limit: number;
  /** Stop after the entry with which keys and values together reach so many bytes. */
  readonly bytesMax: number;
  readonly reverse?: boolean;
  /** Leave `value` empty and do not read it. */
  readonly keysOnly?: boolean;
  /** Read this snapshot instead of the newest state. */
  readonly snapshot?: EngineSnapshot;
}

/** One page of a scan, in key order (or reverse order). */
export interface ScanPage {
  readonly entries: readonly EngineEntry[];
  /** True when the range has more entries behind the last one of this page. */
  readonly hasMore: boolean;
}

/** The state at one moment. Holds files open: close it within minutes. */
export interface EngineSnapshot {
  close(): Promise<void>;
}

export interface Engine {
  /** The newest value, read synchronously: warm reads take microseconds. The bytes are the caller's. */
  get(key: Uint8Array): Uint8Array | undefined;

  /**
   * Writes all operations or none, and resolves when they survive the loss of power. At most one
   * write may be in flight: a second one is a bug of the caller. The bytes are copied in this call and
   * are the caller's again. A rejection means that the state of the disk is unknown: the process must
   * end, and no further write is taken.
   */
  write(operations: readonly WriteOperation[]): Promise<void>;

  /** Taken synchronously: sees exactly the writes that have resolved (and maybe the one in flight). */
  snapshot(): EngineSnapshot;

  /** One page of a range. Errors reject: never an empty page in place of an error. */
  scan(options: ScanOptions): Promise<ScanPage>;

  /** Gives space of deleted ranges back to the operating system. */
  compact(range: KeyRange): Promise<void>;

  /** Numbers about the disk for metrics and heartbeats. */
  stats(): EngineStats;

  /**
   * Waits for the write and the scans in flight, then frees everything. Idempotent. Every other call
   * afterwards fails with UNAVAILABLE.
   */
  close(): Promise<void>;
}

export interface EngineStats {
  /** LevelDB files at level 0: 8 slow writes down, 12 stop them. */
  readonly filesAtLevel0: number;
  /** Bytes in memory and files, approximately. */
  readonly bytes: number;
}
