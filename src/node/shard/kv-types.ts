// The questions and answers of one key, shared by the state machine, the store and the services.

/** Compare-and-set: write only if the key is absent, present, or at exactly this version. */
export type Precondition =
  | { readonly type: 'absent' }
  | { readonly type: 'present' }
  | { readonly type: 'version'; readonly version: number };

export type GetResult =
  | { readonly found: true; readonly value: Uint8Array; readonly version: number }
  | { readonly found: false };

export interface WriteResult {
  /** False when the precondition did not hold; then nothing was written. */
  readonly applied: boolean;
  /** Whether the key was there before. */
  readonly existed: boolean;
  /**
   * Applied: the version written (of a delete: the deletion's own). Not applied: the current
   * version, 0 when the key is absent.
   */
  readonly version: number;
}

export interface ScanRequest {
  readonly start: Uint8Array;
  /** Exclusive; empty means no end. */
  readonly end: Uint8Array;
  readonly limit: number;
  readonly reverse: boolean;
  readonly keysOnly: boolean;
}

export interface ScanItem {
  readonly key: Uint8Array;
  /** Empty when only keys were asked for. */
  readonly value: Uint8Array;
  readonly version: number;
}

export interface ScanResult {
  readonly items: readonly ScanItem[];
  /**
   * Where to go on, when there is more: the next `start` (forward, inclusive) or the next `end`
   * (reverse, exclusive). Each page is linearizable by itself; pages of several shards are not one
   * snapshot.
   */
  readonly next?: Uint8Array;
}
