// What the nodes tell about the cluster, read and checked: stores, shards, and whether every shard is
// where it should be.

import { isObject } from '../../src/cli/json-reader.ts';
import { must } from '../../src/kernel/assert.ts';
import { callJson } from './http-calls.ts';

export interface StoreView {
  readonly id: number;
  readonly name: string;
  readonly state: string;
}

export interface ShardView {
  readonly id: number;
  readonly start: string;
  readonly end: string;
  readonly leaderStoreId: number;
  readonly replicas: readonly { readonly storeId: number; readonly role: string }[];
}

/** `node` is the HTTP address of the node that is asked, as in all functions here. */
export async function readStores(node: string): Promise<readonly StoreView[]> {
  return listIn(await callJson(`${node}/v1/stores`), 'stores').map((store) => ({
    id: Number(store['id']),
    name: String(store['name']),
    state: String(store['state']),
  }));
}

export async function readShards(node: string): Promise<readonly ShardView[]> {
  return listIn(await callJson(`${node}/v1/shards`), 'shards').map((shard) => ({
    id: Number(shard['id']),
    start: String(shard['start']),
    end: String(shard['end']),
    leaderStoreId: Number(shard['leaderStoreId']),
    replicas: listIn(shard, 'replicas').map((replica) => ({
      storeId: Number(replica['storeId']),
      role: String(replica['role']),
    })),
  }));
}

/** The ids of the shards that the node itself has a replica of, by the published route. */
export async function readLocalShardIds(node: string): Promise<readonly number[]> {
  const json = await callJson(`${node}/shards?local=true`);
  return listIn(json, 'shards').map((shard) => Number(shard['shard-id']));
}

export async function storeIdOf(node: string, name: string): Promise<number> {
  const stores = await readStores(node);
  return must(
    stores.find((store) => store.name === name),
    `${name} has a store`,
  ).id;
}

/** The name of the node that leads the shard which holds the key; undefined while nobody does. */
export async function leaderNameOf(node: string, key: string): Promise<string | undefined> {
  const shards = await readShards(node);
  const shard = shards.find(({ start, end }) => start <= key && (end === '' || key < end));
  const stores = await readStores(node);
  return stores.find(({ id }) => id === shard?.leaderStoreId)?.name;
}

/**
 * Empty when every shard has `replicas` voters on live stores and a leader among them. One more, which
 * is on its way for the sake of balance, does no harm.
 */
export async function replicationProblem(
  node: string,
  { live, replicas }: { readonly live: readonly number[]; readonly replicas: number },
): Promise<string> {
  const shards = await readShards(node);
  if (shards.length === 0) return 'there are no shards';
  const problems = shards.flatMap((shard) => {
    const voters = shard.replicas.filter(({ role }) => role === 'voter');
    const good = voters.filter(({ storeId }) => live.includes(storeId));
    const isLed = good.some(({ storeId }) => storeId === shard.leaderStoreId);
    return good.length >= replicas && isLed ? [] : [`shard ${JSON.stringify(shard)}`];
  });
  return problems.join(', ');
}

function listIn(json: unknown, name: string): readonly Readonly<Record<string, unknown>>[] {
  const list = isObject(json) ? json[name] : undefined;
  if (!Array.isArray(list)) throw new Error(`No list of ${name} in ${JSON.stringify(json)}`);
  return list.filter(isObject);
}
