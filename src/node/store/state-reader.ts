// What a state machine may read while it loads.

import { type KeyRange, keyAfter } from '../../kernel/bytes.ts';
import type { StateReader } from '../shard/state-machine.ts';
import type { Engine, EngineEntry } from '../storage/engine.ts';

const PAGE_ENTRIES = 1000;
const PAGE_BYTES = 4 * 1024 * 1024;

export function stateReader(engine: Engine): StateReader {
  return {
    get: (key) => engine.get(key),
    list: (range) => listRange(engine, range),
  };
}

async function listRange(engine: Engine, range: KeyRange): Promise<EngineEntry[]> {
  const entries: EngineEntry[] = [];
  let { start } = range;
  for (;;) {
    const page = await engine.scan({
      start,
      end: range.end,
      limit: PAGE_ENTRIES,
      bytesMax: PAGE_BYTES,
    });
    entries.push(...page.entries);
    const last = page.entries.at(-1);
    if (!page.hasMore || last === undefined) return entries;
    start = keyAfter(last.key);
  }
}
