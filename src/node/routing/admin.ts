// What operators and the operator program ask a node: about shards, stores and the cluster, and to
// drain stores and move leaders. Answered by any node, from Prophet and from the replicas here.

import { compareBytes, EMPTY } from '../../kernel/bytes.ts';
import type { Clock } from '../../kernel/clock.ts';
import { MatrixError } from '../../kernel/errors.ts';
import { NO_ID, type StoreId } from '../../kernel/ids.ts';
import { fromErrorMessage } from '../../wire/error-codec.ts';
import { peerRequest } from '../../wire/peer-messages.ts';
import { toUint64 } from '../../wire/safe-number.ts';
import type { Route, StoreStatus } from '../prophet/protocol.ts';
import { replicaById } from '../shard/shard-meta.ts';
import type { LocalShard, LocalStore } from '../store/local-store.ts';
import type { Transport } from '../transport/transport.ts';
import type { AddressBook } from './address-book.ts';
import { type LeaderTransfer, transferLocally } from './leader-transfer.ts';
import type { ProphetService } from './prophet-service.ts';
import type {
  AdminService,
  CallContext,
  ClusterView,
  Health,
  ShardView,
  StoreView,
} from './services.ts';

export interface AdminOptions {
  readonly clock: Clock;
  readonly localStore: () => LocalStore | undefined;
  readonly transport: Pick<Transport, 'call'>;
  readonly addressBook: AddressBook;
  readonly prophet: ProphetService;
  /** The release of this program. */
  readonly version: string;
  /** Looked at with every question: what makes this node live and ready. */
  readonly health: () => Pick<Health, 'isLive' | 'checks'>;
}

const ROUTES_PER_CALL = 1000;
const TRANSFER_ATTEMPTS_MAX = 3;

export class Admin implements AdminService {
  readonly #options: AdminOptions;

  constructor(options: AdminOptions) {
    this.#options = options;
  }

  get storeId(): StoreId {
    return this.#options.localStore()?.storeId ?? NO_ID;
  }

  async shards(
    { isLocal }: { readonly isLocal: boolean },
    context: CallContext,
  ): Promise<readonly ShardView[]> {
    if (isLocal) return (this.#options.localStore()?.shards() ?? []).map(viewOfLocal);
    const views: ShardView[] = [];
    for await (const routes of this.#routes(context)) views.push(...routes.map(viewOfRoute));
    return views;
  }

  async stores(context: CallContext): Promise<readonly StoreView[]> {
    const { stores } = await this.#options.prophet.stores(context.deadline);
    return stores.map(viewOfStore);
  }

  async cluster(context: CallContext): Promise<ClusterView> {
    const { prophet, addressBook, version } = this.#options;
    const cluster = await prophet.cluster(context.deadline);
    const { clusterId, bootstrapped, maxReplicas, stores, storesUp, shards } = cluster;
    const { shardsUnderReplicated, shardsWithoutLeader } = cluster;
    const leader = addressBook.members.find(
      (member) => member.replicaId === cluster.prophetLeaderReplicaId,
    );
    return {
      ...{ clusterId, version, bootstrapped, maxReplicas, stores, storesUp, shards },
      ...{ shardsUnderReplicated, shardsWithoutLeader },
      prophet: {
        leader: leader?.name ?? '',
        term: cluster.prophetTerm,
        members: addressBook.members.map(({ name, address }) => ({ name, address })),
      },
    };
  }

  health(): Health {
    const { isLive, checks } = this.#options.health();
    const isReady = isLive && checks.every(({ problem }) => problem === '');
    return { isLive, isReady, checks };
  }

  drain(storeId: StoreId, context: CallContext): Promise<void> {
    return this.#options.prophet.drain(storeId, context.deadline);
  }

  cancelDrain(storeId: StoreId, context: CallContext): Promise<void> {
    return this.#options.prophet.cancelDrain(storeId, context.deadline);
  }

  async transferLeader(transfer: LeaderTransfer, context: CallContext): Promise<void> {
    let leader = await this.#leaderOf(transfer, context);
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.#transferAt(leader, { transfer, context });
        return;
      } catch (error) {
        const hint = error instanceof MatrixError ? error.hint?.leader : undefined;
        if (hint === undefined || attempt >= TRANSFER_ATTEMPTS_MAX) throw error;
        leader = hint.storeId;
      }
    }
  }

  /** What the replica here knows; otherwise Prophet's word. */
  async #leaderOf({ shardId }: LeaderTransfer, context: CallContext): Promise<StoreId> {
    const local = this.#options.localStore()?.shard(shardId);
    if (local !== undefined && local.leaderReplicaId !== NO_ID)
      return viewOfLocal(local).leaderStoreId;
    for await (const routes of this.#routes(context)) {
      const route = routes.find(({ shard }) => shard.id === shardId);
      if (route?.leader !== undefined) return route.leader.storeId;
      if (route !== undefined) {
        throw new MatrixError('UNAVAILABLE', `Shard ${shardId} has no leader that is known`);
      }
    }
    throw new MatrixError('NOT_FOUND', `Shard ${shardId} is not known`);
  }

  async #transferAt(
    leader: StoreId,
    request: { readonly transfer: LeaderTransfer; readonly context: CallContext },
  ): Promise<void> {
    const { localStore, transport, addressBook } = this.#options;
    const { transfer, context } = request;
    const store = localStore();
    if (store?.storeId === leader) {
      transferLocally(store, transfer);
      return;
    }
    const question = peerRequest({
      case: 'transferLeader',
      value: { shardId: toUint64(transfer.shardId), toStoreId: toUint64(transfer.storeId) },
    });
    const address = addressBook.requireAddress(leader);
    const { deadline } = context;
    const { response } = await transport.call(address, question, { toStoreId: leader, deadline });
    if (response.case === 'error') throw fromErrorMessage(response.value);
  }

  /** All routes in key order, some at a time. */
  async *#routes({ deadline }: CallContext): AsyncGenerator<readonly Route[]> {
    const { prophet } = this.#options;
    let start = EMPTY;
    for (;;) {
      const { routes } = await prophet.routes(
        { start, end: EMPTY, limit: ROUTES_PER_CALL },
        deadline,
      );
      yield routes;
      const end = routes.at(-1)?.shard.end ?? EMPTY;
      const isProgress = compareBytes(end, start) > 0;
      if (!isProgress || routes.length < ROUTES_PER_CALL) return;
      start = end;
    }
  }
}

function viewOfLocal({ meta, leaderReplicaId, sizeBytes, keys }: LocalShard): ShardView {
  const leaderStoreId = replicaById(meta, leaderReplicaId)?.storeId ?? NO_ID;
  return { ...meta, leaderStoreId, sizeBytes, keys };
}

function viewOfRoute({ shard, leader, sizeBytes, keys }: Route): ShardView {
  return { ...shard, leaderStoreId: leader?.storeId ?? NO_ID, sizeBytes, keys };
}

function viewOfStore(status: StoreStatus): StoreView {
  const { state, shards, leaders, sizeBytes, lastHeartbeatMs, blockedBy } = status;
  const { id, name, address, httpAddress, version, labels } = status.store;
  return {
    ...{ id, name, address, httpAddress, version, labels },
    ...{ state, shards, leaders, sizeBytes, lastHeartbeatMs, blockedBy },
  };
}
