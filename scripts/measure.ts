// Measures what a local cluster takes and gives, and prints it: a program to run on a quiet machine,
// not a test. `npm run measure` does all, `npm run measure -- idle fail-over` the named parts only.

import { cpus, loadavg } from 'node:os';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { must } from '../src/kernel/assert.ts';
import { AcknowledgedWrites } from '../test/process/acknowledged-writes.ts';
import {
  leaderNameOf,
  readShards,
  readStores,
  replicationProblem,
} from '../test/process/cluster-views.ts';
import { LocalCluster } from '../test/process/local-cluster.ts';
import { startProgram } from '../test/process/started-processes.ts';
import { pause, until } from '../test/process/until.ts';
import type { LoadResult } from './http-load.ts';
import { readProcessorSeconds, readResidentBytes } from './process-usage.ts';

const HTTP_LOAD = fileURLToPath(new URL('http-load.ts', import.meta.url));
const NAMES = ['node0', 'node1', 'node2', 'node3'] as const;
const STARTS = 5;
const KILLS = 20;
const LOSSES = 3;
const SETTLE_MS = 10_000;
const IDLE_MS = 30_000;
const LOAD_SECONDS = 8;
const PATIENCE_MS = 60_000;
const MIB = 2 ** 20;

const PARTS: Readonly<Record<string, () => Promise<void>>> = {
  ready: measureReady,
  idle: measureIdle,
  load: measureLoad,
  'fail-over': measureFailOver,
  replication: measureReplication,
};

function say(what: string, result: string): void {
  console.log(`${what.padEnd(46)} ${result}`);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function list(values: readonly number[]): string {
  return values.map((value) => Math.round(value)).join(', ');
}

/** A new cluster for the time of one measurement. */
async function withCluster(measure: (cluster: LocalCluster) => Promise<void>): Promise<void> {
  const cluster = await LocalCluster.prepare();
  try {
    await cluster.start();
    await measure(cluster);
  } finally {
    await cluster.close();
  }
}

async function measureReady(): Promise<void> {
  const fresh: number[] = [];
  const again: number[] = [];
  for (let run = 0; run < STARTS; run += 1) {
    const cluster = await LocalCluster.prepare();
    try {
      for (const times of [fresh, again]) {
        const start = performance.now();
        await cluster.start();
        times.push(performance.now() - start);
        await cluster.interrupt();
      }
    } finally {
      await cluster.close();
    }
  }
  say('time to ready, new cluster', `median ${list([median(fresh)])} ms (${list(fresh)})`);
  say('time to ready, with data', `median ${list([median(again)])} ms (${list(again)})`);
}

async function measureIdle(): Promise<void> {
  await withCluster(async (cluster) => {
    await pause(SETTLE_MS);
    const pids = Object.entries(await cluster.pids());
    const seconds = (): Promise<number[]> =>
      Promise.all(pids.map(([, pid]) => readProcessorSeconds(pid)));
    const before = await seconds();
    const start = performance.now();
    await pause(IDLE_MS);
    const after = await seconds();
    const took = (performance.now() - start) / 1_000;
    const shares = after.map((value, index) => ((value - (before[index] ?? 0)) / took) * 100);
    const total = shares.reduce((sum, share) => sum + share, 0);
    const each = shares.map((share) => share.toFixed(1)).join(', ');
    say('processor, four idle nodes', `${total.toFixed(1)} % of one core (${each})`);
    const bytes = await Promise.all(pids.map(([, pid]) => readResidentBytes(pid)));
    say('memory per idle node', `${list(bytes.map((value) => value / MIB))} MiB`);
  });
}

async function measureLoad(): Promise<void> {
  await withCluster(async (cluster) => {
    const leader = cluster.urlOf((await leaderNameOf(cluster.url(0), 'load')) ?? 'node0');
    const places = { 'leader ': [leader], 'all nodes': cluster.urls() };
    for (const kind of ['set', 'get'] as const) {
      for (const [place, nodes] of Object.entries(places)) {
        for (const connections of [1, 64]) {
          const { perSecond, medianMs, slowMs } = await loadWith({ kind, connections, nodes });
          say(
            `${kind}s, ${connections} connections, ${place}`,
            `${Math.round(perSecond)}/s, median ${medianMs.toFixed(2)} ms, 99 % ${slowMs.toFixed(2)} ms`,
          );
        }
      }
    }
    const pids = Object.values(await cluster.pids());
    const bytes = await Promise.all(pids.map(readResidentBytes));
    say('memory per node after the load', `${list(bytes.map((value) => value / MIB))} MiB`);
  });
}

async function loadWith(load: {
  readonly kind: 'set' | 'get';
  readonly connections: number;
  readonly nodes: readonly string[];
}): Promise<LoadResult> {
  const { kind, connections, nodes } = load;
  const args = [kind, String(connections), String(LOAD_SECONDS), nodes.join(',')];
  const program = startProgram([HTTP_LOAD, ...args]);
  const { code } = await program.ended;
  if (code !== 0) throw new Error(`The load generator failed: ${program.output()}`);
  // It is ours and prints exactly this.
  return JSON.parse(program.output()) as LoadResult;
}

/** How long a client at another node is without success when the leader of its shard is killed. */
async function measureFailOver(): Promise<void> {
  await withCluster(async (cluster) => {
    const gaps: number[] = [];
    for (let kill = 0; kill < KILLS; kill += 1) {
      await untilWhole(cluster, NAMES);
      const leader = must(await leaderNameOf(cluster.url(0), 'client'), 'The shard has a leader');
      const others = NAMES.filter((name) => name !== leader);
      const other = must(others[kill % others.length], 'There are other nodes');
      const client = new AcknowledgedWrites(cluster.urlOf(other), 'client');
      client.start();
      await untilWritten(client, 50);
      client.forgetGap();
      await cluster.kill(leader);
      await untilWritten(client, 100);
      gaps.push(client.gapMs);
      await client.stop();
      await cluster.local('start', leader);
    }
    const worst = Math.max(...gaps);
    say('fail-over, seen at another node', `median ${list([median(gaps), worst])} ms worst`);
    say(`  all ${KILLS}`, `${list(gaps)} ms`);
  });
}

async function measureReplication(): Promise<void> {
  await withCluster(async (cluster) => {
    // 10,000 keys of 100 bytes.
    await loadWith({ kind: 'get', connections: 1, nodes: [cluster.url(0)] });
    const times: number[] = [];
    for (let loss = 0; loss < LOSSES; loss += 1) {
      await untilWhole(cluster, NAMES);
      const lost = await findHolder(cluster);
      await cluster.kill(lost);
      times.push(
        await untilWhole(
          cluster,
          NAMES.filter((name) => name !== lost),
        ),
      );
      await cluster.local('start', lost);
    }
    say('three live replicas after a lost node', `${list(times)} ms`);
  });
}

/** A node with a replica, by the shards themselves: a node that came back may still show a stale one. */
async function findHolder(cluster: LocalCluster): Promise<string> {
  const [shard] = await readShards(cluster.url(0));
  const stores = await readStores(cluster.url(0));
  const holder = stores.find(({ id }) => shard?.replicas.some(({ storeId }) => storeId === id));
  return must(holder, 'A shard has replicas').name;
}

async function untilWhole(cluster: LocalCluster, names: readonly string[]): Promise<number> {
  const node = cluster.urlOf(must(names[0], 'A node lives'));
  return await until({ what: 'three live replicas', withinMs: PATIENCE_MS }, async () => {
    const stores = await readStores(node);
    const live = stores.filter(({ name }) => names.includes(name)).map(({ id }) => id);
    return await replicationProblem(node, { live, replicas: 3 });
  });
}

async function untilWritten(client: AcknowledgedWrites, more: number): Promise<void> {
  const wanted = client.count + more;
  await until({ what: `${more} writes`, withinMs: PATIENCE_MS, pollMs: 10 }, () =>
    client.count >= wanted ? '' : `${wanted - client.count} writes`,
  );
}

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => PARTS[name] === undefined);
if (unknown.length > 0) {
  throw new Error(`There is no ${unknown.join()}: use any of ${Object.keys(PARTS).join(' ')}`);
}
const [first] = cpus();
say('machine', `${cpus().length} cores, ${first?.model ?? 'unknown'}, Node ${process.version}`);
say(
  'load before',
  loadavg()
    .map((value) => value.toFixed(1))
    .join(' '),
);
for (const [name, measure] of Object.entries(PARTS)) {
  if (asked.length === 0 || asked.includes(name)) await measure();
}
process.exit(0);
