// One run of a cluster of real nodes: what the test, the command line and a search for bugs share, so
// that a seed means the same run everywhere.

import { PROPHET_SHARD } from '../../src/kernel/ids.ts';
import { chance, SeededRandom } from '../../src/kernel/random.ts';
import type { Engine } from '../../src/node/storage/engine.ts';
import { metaKey } from '../../src/node/storage/keys.ts';
import { inspectDisks } from './disk-inspection.ts';
import { drawSettings, MAX_REPLICAS, makeRealNode } from './real-node.ts';
import { type SimulationReport, simulate } from './simulation.ts';

const THREE = ['one', 'two', 'three'];
/** The published set-up: the fourth holds data only. */
const FOUR = [...THREE, 'four'];
const FAULTS_MS = 20_000;
/** After everything was healed: elections, the longest back-off, and the longest call. */
const CALM_MS_MAX = 20_000;
/** A lost store is given up after 10 s; then its replicas are made anew, a few at a time. */
const SETTLE_MS_MAX = 120_000;
const CLIENTS = 10;
const KEYS = 12;
const SCAN_PERCENT = 5;

/**
 * A member of Prophet that has never taken part does not count as a copy: of the two others none may
 * be lost yet (see prophet-start.ts).
 */
function areMembersComplete(disks: ReadonlyMap<string, Engine>): boolean {
  const member = metaKey(PROPHET_SHARD);
  return THREE.every((name) => disks.get(name)?.get(member) !== undefined);
}

/** Throws SimulationFailure. */
export function runCluster(seed: number): Promise<SimulationReport> {
  const random = new SeededRandom(seed);
  const settings = drawSettings(random);
  const nodes = settings.drains || chance(random, 1, 2) ? FOUR : THREE;
  const errands = { transfers: chance(random, 1, 2), drains: settings.drains };
  return simulate({
    seed,
    nodes,
    makeNode: makeRealNode(settings),
    faultsMs: FAULTS_MS,
    calmMsMax: CALM_MS_MAX,
    settleMsMax: SETTLE_MS_MAX,
    clients: CLIENTS,
    keys: KEYS,
    scanPercent: SCAN_PERCENT,
    // Only one store can be done without.
    mayLose: nodes === FOUR && !settings.drains ? areMembersComplete : undefined,
    errands,
    settings: JSON.stringify({ ...settings, ...errands, nodes: nodes.length }),
    inspect: inspectDisks({ maxReplicas: MAX_REPLICAS }),
  });
}
