// What a state machine may read while it loads.

import type { KeyRange } from '../../kernel/bytes.ts';
import type { StateReader } from '../shard/state-machine.ts';
import type { Engine, EngineEntry } from '../storage/engine.ts';
import { readPages } from '../storage/read-pages.ts';

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
  const options = { ...range, limit: PAGE_ENTRIES, bytesMax: PAGE_BYTES };
  for await (const page of readPages(engine, options)) entries.push(...page);
  return entries;
}
