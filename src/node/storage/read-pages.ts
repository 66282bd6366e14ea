// Reads a whole range page by page, so that memory stays bounded however long the range is.

import { keyAfter } from '../../kernel/bytes.ts';
import type { Engine, EngineEntry, ScanOptions } from './engine.ts';

/** The pages of a range in key order, none of them empty. A page is read when it is asked for. */
export async function* readPages(
  engine: Pick<Engine, 'scan'>,
  options: Omit<ScanOptions, 'reverse'>,
): AsyncGenerator<readonly EngineEntry[]> {
  let { start } = options;
  for (;;) {
    const { entries, hasMore } = await engine.scan({ ...options, start });
    const last = entries.at(-1);
    if (last === undefined) return;
    yield entries;
    if (!hasMore) return;
    start = keyAfter(last.key);
  }
}
