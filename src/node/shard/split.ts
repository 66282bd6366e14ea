// How one range becomes several (d.6): the new shards are cut off on the left, the last part keeps
// the id. Pure: what the parts are is a function of the shard and the command.

import { compareBytes } from '../../kernel/bytes.ts';
import type { EntryId } from '../../kernel/ids.ts';
import type { SplitCommand, SplitPart } from './commands.ts';
import type { ShardMeta } from './shard-meta.ts';

/**
 * Where the log of every new group starts. Not 0: a replica that missed the creation must need a
 * snapshot; with a log from its first entry on it would catch up without the data.
 */
export const FIRST_ENTRY: EntryId = { term: 5, index: 5 };

/** Parts that one split may cut off. */
export const SPLIT_PARTS_MAX = 16;

export interface SplitResult {
  /** The old shard with what is left to it. */
  readonly rest: ShardMeta;
  readonly created: readonly ShardMeta[];
}

/** Undefined when the command does not fit the shard any more: then it does nothing. */
export function splitShard(meta: ShardMeta, command: SplitCommand): SplitResult | undefined {
  if (!fits(meta, command)) return undefined;
  const generation = meta.epoch.generation + command.parts.length;
  const epoch = { generation, confVersion: meta.epoch.confVersion };
  const created: ShardMeta[] = [];
  let start = meta.start;
  for (const part of command.parts) {
    created.push({
      id: part.shardId,
      start,
      end: part.end,
      epoch,
      replicas: meta.replicas.map((replica, position) => ({
        ...replica,
        replicaId: part.replicaIds[position] ?? 0,
      })),
    });
    start = part.end;
  }
  return { rest: { ...meta, start, epoch }, created };
}

function fits(meta: ShardMeta, command: SplitCommand): boolean {
  const { epoch, parts } = command;
  if (epoch.generation !== meta.epoch.generation) return false;
  if (epoch.confVersion !== meta.epoch.confVersion) return false;
  if (parts.length === 0 || parts.length > SPLIT_PARTS_MAX) return false;
  return parts.every((part, position) => {
    const start = parts[position - 1]?.end ?? meta.start;
    const isInside = meta.end.length === 0 || compareBytes(part.end, meta.end) < 0;
    return (
      compareBytes(part.end, start) > 0 &&
      isInside &&
      part.replicaIds.length === meta.replicas.length
    );
  });
}

/** What the leader saw of one key while it looked for places to cut. */
export interface KeySize {
  readonly key: Uint8Array;
  readonly bytes: number;
}

export type PlannedPart = Pick<SplitPart, 'end' | 'sizeBytes' | 'keys'>;

/** Decides where to cut, while the shard's keys pass by in ascending order. */
export interface Planner {
  add(entry: KeySize): void;
  /** Empty when there is no place to cut. */
  parts(): readonly PlannedPart[];
}

/** Cuts at given keys, ascending and inside the shard, and measures the parts. */
export class KeyPlanner implements Planner {
  readonly #cuts: readonly Uint8Array[];
  readonly #parts: PlannedPart[] = [];
  #sizeBytes = 0;
  #keys = 0;

  constructor(cuts: readonly Uint8Array[]) {
    this.#cuts = cuts;
  }

  add(entry: KeySize): void {
    for (;;) {
      const cut = this.#cuts[this.#parts.length];
      if (cut === undefined || compareBytes(entry.key, cut) < 0) break;
      this.#cut(cut);
    }
    this.#sizeBytes += entry.bytes;
    this.#keys += 1;
  }

  parts(): readonly PlannedPart[] {
    for (const cut of this.#cuts.slice(this.#parts.length)) this.#cut(cut);
    return this.#parts;
  }

  #cut(end: Uint8Array): void {
    this.#parts.push({ end, sizeBytes: this.#sizeBytes, keys: this.#keys });
    this.#sizeBytes = 0;
    this.#keys = 0;
  }
}

/**
 * Cuts a shard evenly into parts of at most about `targetBytes`, at keys that exist. A shard whose
 * weight lies in its last key is cut before that key, so that a growing range always splits; a
 * single key at the very start of its shard cannot be cut off any further. What turns out to be
 * smaller than the target stays whole: the counters of a shard are an estimate since its last split,
 * and one that is counted too large must not be cut to pieces (ancestor defect 9).
 */
export class SplitPlanner implements Planner {
  readonly #start: Uint8Array;
  readonly #targetBytes: number;
  readonly #stepBytes: number;
  readonly #parts: PlannedPart[] = [];
  #measuredBytes = 0;
  #sizeBytes = 0;
  #keys = 0;
  #last: KeySize | undefined;

  constructor(shard: {
    readonly start: Uint8Array;
    readonly sizeBytes: number;
    readonly targetBytes: number;
  }) {
    const count = Math.min(
      SPLIT_PARTS_MAX + 1,
      Math.max(2, Math.ceil(shard.sizeBytes / shard.targetBytes)),
    );
    this.#start = shard.start;
    this.#targetBytes = shard.targetBytes;
    this.#stepBytes = Math.ceil(shard.sizeBytes / count);
  }

  /** What the keys that passed by weigh. */
  get measuredBytes(): number {
    return this.#measuredBytes;
  }

  /** Takes the shard's keys in ascending order. */
  add(entry: KeySize): void {
    this.#measuredBytes += entry.bytes;
    if (this.#sizeBytes >= this.#stepBytes && this.#parts.length < SPLIT_PARTS_MAX) {
      this.#cut(entry.key);
    }
    this.#sizeBytes += entry.bytes;
    this.#keys += 1;
    this.#last = entry;
  }

  parts(): readonly PlannedPart[] {
    const last = this.#last;
    if (this.#measuredBytes < this.#targetBytes) return [];
    if (this.#parts.length > 0 || last === undefined) return this.#parts;
    if (compareBytes(last.key, this.#start) === 0) return [];
    const sizeBytes = this.#sizeBytes - last.bytes;
    return [{ end: last.key, sizeBytes, keys: this.#keys - 1 }];
  }

  #cut(end: Uint8Array): void {
    this.#parts.push({ end, sizeBytes: this.#sizeBytes, keys: this.#keys });
    this.#sizeBytes = 0;
    this.#keys = 0;
  }
}
