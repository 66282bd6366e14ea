// When a command must be refused, and in which words. Pure: asked while applying, so the same
// knowledge gives the same answer on every replica.

import { compareBytes, equalBytes } from '../../kernel/bytes.ts';
import type { ErrorCode } from '../../kernel/errors.ts';
import type { ShardId, StoreId } from '../../kernel/ids.ts';
import { NO_ID } from '../../kernel/ids.ts';
import type { ShardMeta } from '../shard/shard-meta.ts';
import type { Command } from './commands.ts';
import { LIMITS } from './prophet-config.ts';
import type { ClusterRecord, StoreRecord } from './records.ts';

/** What all replicas of Prophet know. */
export interface ProphetState {
  readonly cluster: ClusterRecord;
  readonly stores: ReadonlyMap<StoreId, StoreRecord>;
  readonly shards: ReadonlyMap<ShardId, ShardMeta>;
  /** Prophet's members that have taken part, with the nonce of their disk. */
  readonly members: ReadonlyMap<string, Uint8Array>;
}

export interface Refusal {
  readonly code: ErrorCode;
  readonly text: string;
}

export type CommandOf<T extends Command['type']> = Extract<Command, { type: T }>;

const TEXT_MAX = 512;
const NONCE_MAX = 64;
const LABELS_MAX = 64;
const SPLIT_KEYS_MAX = 1_024;
const REPLICAS_MAX = 64;
/** Far above every honest id, and far below where counting on would leave the safe integers. */
const ID_MAX = 2 ** 52;

export function checkRegistration(
  state: ProphetState,
  command: CommandOf<'register-store'>,
): { readonly refusal: Refusal } | { readonly known: StoreRecord | undefined } {
  const malformed = describeMalformed(command);
  if (malformed !== '') return { refusal: { code: 'INVALID_ARGUMENT', text: malformed } };
  const { store, nonce, incarnation } = command;
  const known = store.id === NO_ID ? storeByNonce(state, nonce) : state.stores.get(store.id);
  if (known === undefined) {
    if (store.id !== NO_ID) return mismatch(`Store ${store.id} is not known to this cluster`);
    if (state.stores.size < LIMITS.storesMax) return { known };
    return { refusal: { code: 'OVERLOADED', text: `Cluster has ${LIMITS.storesMax} stores` } };
  }
  const fenced = checkIdentity(known, { nonce, incarnation });
  return fenced === undefined ? { known } : { refusal: fenced };
}

/** Whether a process may speak for a store: the right disk, and not an older process (d.11). */
export function checkIdentity(
  store: StoreRecord,
  claim: { readonly nonce: Uint8Array; readonly incarnation: number },
): Refusal | undefined {
  if (!equalBytes(store.nonce, claim.nonce)) {
    return mismatch(`Store ${store.id} belongs to another data directory`).refusal;
  }
  if (store.state === 'removed') {
    const text =
      `Store ${store.id} (${store.name}) was drained and removed from the cluster: ` +
      'give the node an empty data directory to join as a new store';
    return { code: 'STORE_REMOVED', text };
  }
  if (claim.incarnation < store.incarnation) {
    const { incarnation } = claim;
    const text = `Store ${store.id} runs as incarnation ${store.incarnation}, not ${incarnation}`;
    return mismatch(text).refusal;
  }
  return undefined;
}

export function checkStateChange(
  state: ProphetState,
  command: CommandOf<'set-store-state'>,
): { readonly refusal: Refusal } | { readonly store: StoreRecord } {
  const store = state.stores.get(command.storeId);
  if (store === undefined) {
    return { refusal: { code: 'NOT_FOUND', text: `Store ${command.storeId} is not known` } };
  }
  if (store.state === command.state) return { store };
  const text = describeForbidden(state, store, command.state);
  return text === '' ? { store } : { refusal: { code: 'PRECONDITION_FAILED', text } };
}

function describeForbidden(state: ProphetState, store: StoreRecord, wanted: string): string {
  if (store.state === 'removed') return `Store ${store.id} (${store.name}) was removed`;
  if (wanted === 'draining') {
    const others = [...state.stores.values()].filter(
      (other) => other.id !== store.id && other.state === 'serving',
    );
    return describeTooFew(store.id, state.cluster.maxReplicas, others.length);
  }
  if (wanted !== 'removed') return '';
  if (store.state !== 'draining') return `Store ${store.id} was not drained`;
  const held = [...state.shards.values()].filter((shard) =>
    shard.replicas.some((replica) => replica.storeId === store.id),
  );
  return held.length === 0 ? '' : `Store ${store.id} still holds ${held.length} replicas`;
}

/** Why a drain cannot end (lesson 11); empty when there are enough other stores. */
export function describeTooFew(storeId: StoreId, maxReplicas: number, others: number): string {
  if (others >= maxReplicas) return '';
  const stores = others === 1 ? 'store serves' : 'stores serve';
  return `Cannot drain store ${storeId} as ${maxReplicas} replicas are wanted and only ${others} other ${stores}`;
}

export function checkBootstrap(
  state: ProphetState,
  command: CommandOf<'bootstrap'>,
): Refusal | undefined {
  const { storeIds, splitKeys } = command;
  if (state.cluster.isBootstrapped) {
    return { code: 'PRECONDITION_FAILED', text: 'Cluster is bootstrapped already' };
  }
  const isSound =
    storeIds.length > 0 &&
    storeIds.length <= REPLICAS_MAX &&
    new Set(storeIds).size === storeIds.length &&
    storeIds.every((id) => state.stores.get(id)?.state === 'serving');
  if (!isSound) {
    return { code: 'INVALID_ARGUMENT', text: `Cannot bootstrap on stores ${storeIds.join(', ')}` };
  }
  const isAscending = splitKeys.every((key, index) => {
    const before = index === 0 ? new Uint8Array(0) : splitKeys[index - 1];
    return before !== undefined && compareBytes(before, key) < 0;
  });
  if (isAscending && splitKeys.length <= SPLIT_KEYS_MAX) return undefined;
  return { code: 'INVALID_ARGUMENT', text: 'Split keys are not ascending, or too many' };
}

/** What is wrong with a shard that a store reported; undefined when nothing is. */
export function checkShard(shard: ShardMeta): string | undefined {
  const { replicas } = shard;
  if (shard.id === NO_ID || shard.id > ID_MAX) return `Shard id ${shard.id} is out of range`;
  if (shard.end.length > 0 && compareBytes(shard.start, shard.end) >= 0) {
    return `Shard ${shard.id} has an empty range`;
  }
  if (replicas.length === 0 || replicas.length > REPLICAS_MAX) {
    return `Shard ${shard.id} has ${replicas.length} replicas`;
  }
  if (replicas.some((replica) => replica.replicaId === NO_ID || replica.replicaId > ID_MAX)) {
    return `Shard ${shard.id} has a replica without a sound id`;
  }
  const stores = new Set(replicas.map((replica) => replica.storeId));
  return stores.size === replicas.length ? undefined : `Shard ${shard.id} has a store twice`;
}

function describeMalformed({ store, nonce }: CommandOf<'register-store'>): string {
  const texts = [store.name, store.address, store.httpAddress, store.version];
  const labels = Object.entries(store.labels);
  if (store.name === '' || store.address === '') return 'Store has no name or no address';
  if (nonce.length === 0 || nonce.length > NONCE_MAX) return `Nonce has ${nonce.length} bytes`;
  if (labels.length > LABELS_MAX) return `Store has ${labels.length} labels`;
  const isTooLong = [...texts, ...labels.flat()].some((text) => text.length > TEXT_MAX);
  return isTooLong ? `Description of store ${store.name.slice(0, 64)} is too long` : '';
}

function storeByNonce(state: ProphetState, nonce: Uint8Array): StoreRecord | undefined {
  for (const store of state.stores.values()) if (equalBytes(store.nonce, nonce)) return store;
  return undefined;
}

function mismatch(text: string): { readonly refusal: Refusal } {
  return { refusal: { code: 'STORE_MISMATCH', text } };
}
