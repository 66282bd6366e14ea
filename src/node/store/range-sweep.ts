// Deletes ranges of engine keys in pages, through the turn loop: LevelDB has no range deletion, and
// one huge batch would stall every shard of the node.

import type { KeyRange } from '../../kernel/bytes.ts';
import type { Engine, WriteOperation } from '../storage/engine.ts';
import { readPages } from '../storage/read-pages.ts';

export interface SweepOptions {
  readonly engine: Engine;
  /** Resolves when the operations are durable. */
  readonly submit: (operations: readonly WriteOperation[]) => Promise<void>;
}

const PAGE_KEYS = 2000;
const PAGE_BYTES = 512 * 1024;

/** Resolves when nothing of the ranges is left on disk. Can be repeated after a crash. */
export async function sweepRanges(
  options: SweepOptions,
  ranges: readonly KeyRange[],
): Promise<void> {
  for (const range of ranges) await sweepRange(options, range);
}

async function sweepRange({ engine, submit }: SweepOptions, range: KeyRange): Promise<void> {
  const options = { ...range, limit: PAGE_KEYS, bytesMax: PAGE_BYTES, keysOnly: true };
  for await (const page of readPages(engine, options)) {
    await submit(page.map(({ key }) => ({ type: 'delete', key })));
  }
}
