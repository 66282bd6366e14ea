// One run of a cluster of real nodes: what the test, the command line and a search for bugs share, so
// that a seed means the same run everywhere. Beside runs that are drawn from a seed there are scenes,
// whose faults are written down.

import { PROPHET_SHARD } from '../../src/kernel/ids.ts';
import { chance, SeededRandom } from '../../src/kernel/random.ts';
import type { Engine } from '../../src/node/storage/engine.ts';
import { metaKey } from '../../src/node/storage/keys.ts';
import { inspectDisks } from './disk-inspection.ts';
import { CALM_NETWORK, NOTHING_LOST, type PlannedFault } from './faults.ts';
import { type ClusterSettings, drawSettings, MAX_REPLICAS, makeRealNode } from './real-node.ts';
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
/** Few keys are fought for, many are spread over shards. */
const KEYS = [2, 5, 12];
const SCAN_PERCENT = 5;

const LIMITS = {
  faultsMs: FAULTS_MS,
  calmMsMax: CALM_MS_MAX,
  settleMsMax: SETTLE_MS_MAX,
  clients: CLIENTS,
  inspect: inspectDisks({ maxReplicas: MAX_REPLICAS }),
};

/** Throws SimulationFailure. */
export function runCluster(seed: number): Promise<SimulationReport> {
  const random = new SeededRandom(seed);
  const settings = drawSettings(random);
  const nodes = settings.drains || chance(random, 1, 2) ? FOUR : THREE;
  const keys = KEYS[random.below(KEYS.length)] ?? 1;
  const errands = { transfers: chance(random, 1, 2), drains: settings.drains };
  return simulate({
    ...LIMITS,
    seed,
    nodes,
    makeNode: makeRealNode(settings),
    keys,
    scanPercent: SCAN_PERCENT,
    // Only one store can be done without.
    mayLose: nodes === FOUR && !settings.drains ? areMembersComplete : undefined,
    errands,
    settings: JSON.stringify({ ...settings, ...errands, keys, nodes: nodes.length }),
  });
}

/** Faults as they are written down, on a network and disks that do no harm of their own. */
export interface Scene {
  readonly hasSpare: boolean;
  readonly settings: ClusterSettings;
  readonly keys: number;
  readonly faults: readonly PlannedFault[];
}

/** Throws SimulationFailure. */
export function runScene(scene: Scene): Promise<SimulationReport> {
  const { hasSpare, settings, keys, faults } = scene;
  return simulate({
    ...LIMITS,
    seed: 1,
    nodes: hasSpare ? FOUR : THREE,
    makeNode: makeRealNode(settings),
    keys,
    // A scan that covers a part of the keys leaves the others unknown: here, unknown is a fault.
    scanPercent: 0,
    mayLose: areMembersComplete,
    plan: {
      faults,
      disk: { writeMicrosMin: 500, writeMicrosMax: 5_000, slowPerMille: 0 },
      network: CALM_NETWORK,
      lossiness: NOTHING_LOST,
      driftsPpm: [],
      wallErrorMsMax: 0,
    },
  });
}

/**
 * A member of Prophet that has never taken part does not count as a copy: of the two others none may
 * be lost yet (see prophet-start.ts).
 */
function areMembersComplete(disks: ReadonlyMap<string, Engine>): boolean {
  const member = metaKey(PROPHET_SHARD);
  return THREE.every((name) => disks.get(name)?.get(member) !== undefined);
}
