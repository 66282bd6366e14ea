// One run of a cluster of real nodes: what the test, the command line and a search for bugs share, so
// that a seed means the same run everywhere.

import { inspectDisks } from './disk-inspection.ts';
import { drawSettings, MAX_REPLICAS, makeRealNode } from './real-node.ts';
import { type SimulationReport, simulate } from './simulation.ts';

const NODES = ['one', 'two', 'three'];
const FAULTS_MS = 20_000;
/** After everything was healed: elections, the longest back-off, and the longest call. */
const CALM_MS_MAX = 20_000;
const CLIENTS = 10;
const KEYS = 12;

/** Throws SimulationFailure. */
export function runCluster(seed: number): Promise<SimulationReport> {
  const settings = drawSettings(seed);
  return simulate({
    seed,
    nodes: NODES,
    makeNode: makeRealNode(settings),
    faultsMs: FAULTS_MS,
    calmMsMax: CALM_MS_MAX,
    clients: CLIENTS,
    keys: KEYS,
    settings: JSON.stringify(settings),
    inspect: inspectDisks({ maxReplicas: MAX_REPLICAS }),
  });
}
