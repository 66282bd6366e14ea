// The cluster in a few lines, and the verdict: healthy, or every reason why not.

import {
  booleanIn,
  type JsonObject,
  numberIn,
  objectIn,
  objectsIn,
  stringIn,
} from './json-reader.ts';
import { formatTable } from './table.ts';

/** In the order in which to look at them; empty when all is well. */
export function findProblems(
  cluster: JsonObject,
  stores: readonly JsonObject[],
): readonly string[] {
  const problems: string[] = [];
  const prophet = objectIn(cluster, 'prophet');
  if (stringIn(prophet, 'leader') === '') problems.push('Prophet has no leader');
  if (!booleanIn(cluster, 'bootstrapped')) {
    const needed = counted(numberIn(cluster, 'maxReplicas'), 'store');
    problems.push(`it waits for ${needed} to begin with, ${numberIn(cluster, 'stores')} there`);
  }
  const leaderless = numberIn(cluster, 'shardsWithoutLeader');
  if (leaderless > 0) problems.push(`${counted(leaderless, 'shard')} without a leader`);
  const thin = numberIn(cluster, 'shardsUnderReplicated');
  if (thin > 0) problems.push(`${counted(thin, 'shard')} with too few replicas`);
  for (const store of stores) {
    const state = stringIn(store, 'state');
    if (state === 'down' || state === 'disconnected') {
      problems.push(`store ${numberIn(store, 'id')} (${stringIn(store, 'name')}) is ${state}`);
    }
  }
  return problems;
}

export function formatStatus(cluster: JsonObject, problems: readonly string[]): string {
  const prophet = objectIn(cluster, 'prophet');
  const members = objectsIn(prophet, 'members').map((member) => stringIn(member, 'name'));
  const leader = stringIn(prophet, 'leader');
  const replicas = counted(numberIn(cluster, 'maxReplicas'), 'replica');
  const rows: [string, string][] = [
    ['Cluster', `${stringIn(cluster, 'clusterId')}, version ${stringIn(cluster, 'version')}`],
    ['Health', problems.length === 0 ? 'healthy' : 'not healthy'],
    ...problems.map((problem): [string, string] => ['', `- ${problem}`]),
    ['Stores', `${numberIn(cluster, 'storesUp')} of ${numberIn(cluster, 'stores')} up`],
    ['Shards', `${numberIn(cluster, 'shards')}, ${replicas} each`],
    ['Prophet', `${members.join(', ')}; leader ${leader === '' ? 'unknown' : leader}`],
  ];
  return formatTable(
    [],
    rows.map(([name, text]) => [name === '' ? ' ' : `${name}:`, text]),
  );
}

function counted(count: number, noun: string): string {
  return count === 1 ? `1 ${noun}` : `${count} ${noun}s`;
}
