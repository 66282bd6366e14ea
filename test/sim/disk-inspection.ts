// What must be true of all disks together once the clients are gone and every node runs: the shards
// cover the key space exactly once, each has its replicas, and replicas that applied the same entries
// hold the same bytes. Reads the disks alone, so nothing that a node believes can hide a difference.

import { createHash, type Hash } from 'node:crypto';
import { must } from '../../src/kernel/assert.ts';
import {
  compareBytes,
  describeBytes,
  EMPTY,
  equalBytes,
  type KeyRange,
  rangeContains,
} from '../../src/kernel/bytes.ts';
import { PROPHET_SHARD, type ReplicaId, type ShardId } from '../../src/kernel/ids.ts';
import type { ProphetState } from '../../src/node/prophet/command-checks.ts';
import { ProphetMachine } from '../../src/node/prophet/prophet-machine.ts';
import { type ShardMeta, sameEpoch } from '../../src/node/shard/shard-meta.ts';
import {
  decodeApplyState,
  decodeMeta,
  type MetaRecord,
} from '../../src/node/shard/shard-records.ts';
import { stateRangesOf } from '../../src/node/shard/state-ranges.ts';
import type { Engine, EngineEntry } from '../../src/node/storage/engine.ts';
import {
  applyStateKey,
  dataRange,
  destroysRange,
  indexOfLogKey,
  logRange,
  metasRange,
  userKeyOf,
} from '../../src/node/storage/keys.ts';
import { stateReader } from '../../src/node/store/state-reader.ts';
import type { Inspect, Inspection } from './simulation.ts';

/** One replica as its disk has it. */
interface StoredReplica {
  readonly machine: string;
  readonly replicaId: ReplicaId;
  readonly meta: ShardMeta;
  readonly applied: number;
  /** Of everything that a snapshot would copy. */
  readonly stateHash: string;
  /** Committed entries that the log still holds, as text to compare. */
  readonly entries: ReadonlyMap<number, string>;
}

const GOOD: Inspection = { type: 'good' };
const EVERYTHING: KeyRange = { start: EMPTY, end: EMPTY };
/** Far more than a run writes. */
const ENTRIES_MAX = 1_000_000;

export function inspectDisks(options: { readonly maxReplicas: number }): Inspect {
  return async (disks) => {
    const shards = new Map<ShardId, StoredReplica[]>();
    const prophet = await readProphet(disks);
    const removed = [...prophet.stores.values()].filter(({ state }) => state === 'removed');
    for (const [machine, disk] of disks) {
      // What is left on a removed store belongs to nobody any more.
      if (removed.some(({ name }) => name === machine)) continue;
      const { replicas, problem } = await readMachine(machine, disk);
      if (problem !== undefined) return problem;
      for (const replica of replicas) {
        const others = shards.get(replica.meta.id) ?? [];
        shards.set(replica.meta.id, [...others, replica]);
      }
    }
    for (const replicas of shards.values()) {
      const inspection = compareReplicas(replicas, options.maxReplicas);
      if (inspection.type !== 'good') return inspection;
    }
    const metas = [...shards.values()]
      .map(([first]) => must(first, 'A shard has a replica').meta)
      .filter(({ id }) => id !== PROPHET_SHARD);
    const cover = checkCover(metas);
    return cover.type === 'good' ? checkProphet(prophet, metas) : cover;
  };
}

/** What Prophet knows, from the member's disk that is furthest ahead. */
async function readProphet(disks: ReadonlyMap<string, Engine>): Promise<ProphetState> {
  const key = applyStateKey(PROPHET_SHARD);
  const appliedOn = (disk: Engine): number => {
    const record = disk.get(key);
    return record === undefined ? -1 : decodeApplyState(key, record).applied.index;
  };
  const [newest] = [...disks.values()].sort((a, b) => appliedOn(b) - appliedOn(a));
  const machine = new ProphetMachine();
  await machine.load(stateReader(must(newest, 'There is a disk')));
  return machine.state;
}

async function readMachine(
  machine: string,
  disk: Engine,
): Promise<{ readonly replicas: readonly StoredReplica[]; readonly problem?: Inspection }> {
  const records = (await readAll(disk, metasRange()))
    .map(({ key, value }) => decodeMeta(key, value))
    .filter(({ state }) => state !== 'tombstone');
  const busy = records.find(({ state }) => state === 'applying');
  if (busy !== undefined) {
    return { replicas: [], problem: unfinished(`${machine} installs shard ${busy.meta.id}`) };
  }
  if ((await readAll(disk, destroysRange())).length > 0) {
    return { replicas: [], problem: unfinished(`${machine} still destroys a replica`) };
  }
  const owned = records.filter(({ meta }) => meta.id !== PROPHET_SHARD);
  for (const { key } of await readAll(disk, dataRange(EVERYTHING))) {
    const userKey = userKeyOf(key);
    if (owned.some(({ meta }) => rangeContains(meta, userKey))) continue;
    const reason = `${machine} holds ${describeBytes(userKey)}, which is in none of its shards`;
    return { replicas: [], problem: { type: 'wrong', reason } };
  }
  const replicas = await Promise.all(records.map((record) => readReplica(machine, disk, record)));
  return { replicas };
}

async function readReplica(
  machine: string,
  disk: Engine,
  { meta, replicaId }: MetaRecord,
): Promise<StoredReplica> {
  const key = applyStateKey(meta.id);
  const record = must(disk.get(key), `Shard ${meta.id} on ${machine} has an apply state`);
  const applied = decodeApplyState(key, record).applied.index;
  const state = createHash('sha256');
  for (const range of stateRangesOf(meta)) addEntries(state, await readAll(disk, range));
  const log = await readAll(disk, logRange(meta.id, 0, applied + 1));
  const entries = new Map(
    log.map((entry) => [indexOfLogKey(entry.key), Buffer.from(entry.value).toString('base64')]),
  );
  return { machine, replicaId, meta, applied, stateHash: state.digest('hex'), entries };
}

function compareReplicas(replicas: readonly StoredReplica[], maxReplicas: number): Inspection {
  const first = must(replicas[0], 'A shard has a replica');
  const { id } = first.meta;
  for (const other of replicas.slice(1)) {
    const both = `shard ${id} on ${first.machine} and ${other.machine}`;
    if (hasOtherEntry(first, other)) return wrong(`The logs differ: ${both}`);
    if (first.applied !== other.applied) {
      return unfinished(`Applied ${first.applied} and ${other.applied}: ${both}`);
    }
    if (first.stateHash !== other.stateHash) {
      return wrong(`The states differ at index ${first.applied}: ${both}`);
    }
    if (!sameMeta(first.meta, other.meta)) {
      return wrong(`The metas differ at index ${first.applied}: ${both}`);
    }
  }
  // Prophet's members are configured: a lost one is not made anew.
  if (id === PROPHET_SHARD) return GOOD;
  const wanted = first.meta.replicas.map(({ replicaId }) => replicaId).sort();
  const stored = replicas.map(({ replicaId }) => replicaId).sort();
  if (wanted.join() !== stored.join()) {
    return unfinished(`Shard ${id} has replicas ${stored.join()} instead of ${wanted.join()}`);
  }
  const voters = first.meta.replicas.filter(({ role }) => role === 'voter').length;
  if (voters !== maxReplicas || wanted.length !== maxReplicas) {
    return unfinished(`Shard ${id} has ${voters} voters of ${wanted.length} replicas`);
  }
  return GOOD;
}

/** What both logs hold below the applied index was decided once and for all. */
function hasOtherEntry(a: StoredReplica, b: StoredReplica): boolean {
  for (const [index, entry] of a.entries) {
    const other = b.entries.get(index);
    if (other !== undefined && other !== entry) return true;
  }
  return false;
}

function sameMeta(a: ShardMeta, b: ShardMeta): boolean {
  return (
    sameEpoch(a.epoch, b.epoch) &&
    equalBytes(a.start, b.start) &&
    equalBytes(a.end, b.end) &&
    JSON.stringify(a.replicas) === JSON.stringify(b.replicas)
  );
}

function checkCover(metas: readonly ShardMeta[]): Inspection {
  const ordered = [...metas].sort((a, b) => compareBytes(a.start, b.start));
  const last = ordered.at(-1);
  if (last === undefined) return unfinished('There is no shard yet');
  let reached: Uint8Array = EMPTY;
  for (const [position, meta] of ordered.entries()) {
    const isNext = equalBytes(meta.start, reached) && (position === 0 || reached.length > 0);
    if (!isNext) {
      const where = `at ${describeBytes(reached)}, where shard ${meta.id} begins at`;
      return wrong(`A hole or an overlap ${where} ${describeBytes(meta.start)}`);
    }
    reached = meta.end;
  }
  return reached.length === 0 ? GOOD : wrong(`No shard behind ${describeBytes(reached)}`);
}

/** What Prophet has written down is what there is. */
function checkProphet(prophet: ProphetState, metas: readonly ShardMeta[]): Inspection {
  for (const meta of metas) {
    const known = prophet.shards.get(meta.id);
    if (known === undefined || !sameMeta(known, meta)) {
      return unfinished(`Prophet does not know shard ${meta.id} as it is`);
    }
  }
  const strange = [...prophet.shards.keys()].find((id) => !metas.some((meta) => meta.id === id));
  return strange === undefined ? GOOD : unfinished(`Prophet knows a shard ${strange}`);
}

async function readAll(disk: Engine, range: KeyRange): Promise<readonly EngineEntry[]> {
  const page = await disk.scan({ ...range, limit: ENTRIES_MAX, bytesMax: Number.MAX_SAFE_INTEGER });
  return page.entries;
}

function addEntries(hash: Hash, entries: readonly EngineEntry[]): void {
  for (const { key, value } of entries) {
    hash.update(`${key.length}/${value.length}/`).update(key).update(value);
  }
}

function unfinished(reason: string): Inspection {
  return { type: 'unfinished', reason };
}

function wrong(reason: string): Inspection {
  return { type: 'wrong', reason };
}
