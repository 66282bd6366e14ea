// What an operator, a human or the one in Kubernetes, asks and orders: the cluster, its stores and
// shards, draining a store, moving a leader.

import { MatrixError } from '../../kernel/errors.ts';
import type { AdminService, ShardView } from '../routing/services.ts';
import type { Answer } from './answer.ts';
import { jsonAnswer } from './answer.ts';
import { bytesToJson } from './byte-text.ts';
import { idField, parseJsonObject } from './json-body.ts';
import { parseInteger } from './query.ts';
import type { Route, RouteRequest } from './route.ts';

/** Orders are a few words long. */
const ORDER_BYTES_MAX = 4096;

export function adminRoutes(admin: AdminService): Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/cluster',
      summary: 'The cluster: its id, its Prophet, how many stores and shards and how they are',
      kind: 'read',
      bodyBytesMax: 0,
      query: [],
      handle: async ({ context }) => jsonAnswer(await admin.cluster(context)),
    },
    {
      method: 'GET',
      path: '/v1/stores',
      summary: 'All stores: address, state, how much they hold, why a drain is blocked',
      kind: 'read',
      bodyBytesMax: 0,
      query: [],
      handle: async ({ context }) => jsonAnswer({ stores: await admin.stores(context) }),
    },
    {
      method: 'POST',
      path: '/v1/stores/{id}/drain',
      summary: 'Starts to move every replica off a store',
      kind: 'write',
      bodyBytesMax: ORDER_BYTES_MAX,
      query: [],
      handle: (request) => drain(admin, request),
    },
    {
      method: 'DELETE',
      path: '/v1/stores/{id}/drain',
      summary: 'Stops draining a store; it serves again',
      kind: 'write',
      bodyBytesMax: 0,
      query: [],
      handle: (request) => cancelDrain(admin, request),
    },
    {
      method: 'GET',
      path: '/v1/shards',
      summary: 'All shards: range, epoch, replicas, leader, size; only those here with ?local=true',
      kind: 'read',
      bodyBytesMax: 0,
      query: ['local'],
      handle: (request) => shards(admin, request),
    },
    {
      method: 'POST',
      path: '/v1/shards/{id}/leader',
      summary: 'Makes the replica on a store the leader of a shard: {"storeId":2}',
      kind: 'write',
      bodyBytesMax: ORDER_BYTES_MAX,
      query: [],
      handle: (request) => transferLeader(admin, request),
    },
  ];
}

/** 202: the order is taken; how far it is shows in the list of stores. */
async function drain(admin: AdminService, request: RouteRequest): Promise<Answer> {
  const storeId = idOf(request, 'Store id');
  await admin.drain(storeId, request.context);
  return jsonAnswer({ storeId, draining: true }, 202);
}

async function cancelDrain(admin: AdminService, request: RouteRequest): Promise<Answer> {
  const storeId = idOf(request, 'Store id');
  await admin.cancelDrain(storeId, request.context);
  return jsonAnswer({ storeId, draining: false });
}

async function shards(admin: AdminService, { query, context }: RouteRequest): Promise<Answer> {
  const found = await admin.shards({ isLocal: query.flag('local') }, context);
  return jsonAnswer({ shards: found.map(shardToJson) });
}

async function transferLeader(admin: AdminService, request: RouteRequest): Promise<Answer> {
  const shardId = idOf(request, 'Shard id');
  const storeId = idField(parseJsonObject(request.body), 'storeId');
  await admin.transferLeader({ shardId, storeId }, request.context);
  return jsonAnswer({ shardId, storeId });
}

function shardToJson(shard: ShardView): unknown {
  const { start, end, ...rest } = shard;
  return { ...rest, ...bytesToJson({ start, end }) };
}

function idOf(request: RouteRequest, what: string): number {
  const id = parseInteger(request.params['id'] ?? '', what);
  if (id === 0) throw new MatrixError('INVALID_ARGUMENT', `${what} is 0, ids begin at 1`);
  return id;
}
