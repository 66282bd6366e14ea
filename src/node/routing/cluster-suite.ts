// A small cluster in memory for the tests of this room: stores with shards that really hold data and
// remember sessions, a network on which nodes can be dead or silent, and a Prophet that can be away
// or behind. Requests and answers travel as the bytes that the real transport would send.

import { Scheduler } from '../../../test/sim/scheduler.ts';
import { SimulatedClock } from '../../../test/sim/simulated-clock.ts';
import {
  compareBytes,
  EMPTY,
  keyAfter,
  rangeContains,
  rangesOverlap,
  toMapKey,
} from '../../kernel/bytes.ts';
import { MatrixError } from '../../kernel/errors.ts';
import { SILENT } from '../../kernel/observer.ts';
import { SeededRandom } from '../../kernel/random.ts';
import { fromErrorMessage } from '../../wire/error-codec.ts';
import { EXCHANGE_REQUESTS, EXCHANGE_RESPONSES } from '../../wire/frames.ts';
import type { PeerRequest, PeerResponse } from '../../wire/gen/matrixkv/v1/peer_pb.ts';
import type { RoutesRequest, RoutesResponse, StoreDescriptor } from '../prophet/protocol.ts';
import type { WriteCommand } from '../shard/commands.ts';
import type { GetResult, ScanRequest, ScanResult, WriteResult } from '../shard/kv-types.ts';
import type { ShardMeta } from '../shard/shard-meta.ts';
import { replicaOn } from '../shard/shard-meta.ts';
import type { LocalShard, LocalStore, StoreStep } from '../store/local-store.ts';
import type { CallOptions } from '../transport/transport.ts';
import { AddressBook } from './address-book.ts';
import { createCallHandler } from './peer-handlers.ts';
import { Router } from './router.ts';
import type { RoutingLimits } from './routing-limits.ts';

/** What all replicas of a shard agree on. */
export interface Group {
  meta: ShardMeta;
  leaderStoreId: number;
  term: number;
  readonly sessions: Map<string, WriteResult>;
  floor: Uint8Array | undefined;
  /** How many writes changed something. */
  applied: number;
}

/** What befalls the next request at a store. `lost-answer`: it is carried out, and nobody hears. */
export type Mishap = 'lost-answer' | MatrixError;

export class TestCluster {
  readonly scheduler = new Scheduler();
  readonly clock = new SimulatedClock({ scheduler: this.scheduler });
  readonly random = new SeededRandom(1);
  readonly groups: Group[] = [];
  readonly data = new Map<string, { key: Uint8Array; value: Uint8Array; version: number }>();
  readonly stores = new Map<number, TestStore>();
  readonly dead = new Set<number>();
  readonly silent = new Set<number>();
  /** Every request that reached the network, by store. */
  readonly calls: number[] = [];
  /** What Prophet says; undefined: the truth. */
  prophetRoutes: (() => readonly Group[]) | 'away' = () => this.groups;
  prophetAsked = 0;

  constructor(storeIds: readonly number[] = [1, 2, 3]) {
    for (const storeId of storeIds) this.stores.set(storeId, new TestStore(storeId, this));
  }

  store(storeId: number): TestStore {
    const store = this.stores.get(storeId);
    if (store === undefined) throw new Error(`No store ${storeId}`);
    return store;
  }

  addShard(fields: Partial<ShardMeta> & { readonly id: number }, leaderStoreId = 1): Group {
    const replicas = [1, 2, 3].map((storeId) => ({
      replicaId: fields.id * 10 + storeId,
      storeId,
      role: 'voter' as const,
    }));
    const epoch = { generation: 1, confVersion: 1 };
    const meta = { start: EMPTY, end: EMPTY, epoch, replicas, ...fields };
    const group = {
      meta,
      leaderStoreId,
      term: 6,
      sessions: new Map(),
      floor: undefined,
      applied: 0,
    };
    this.groups.push(group);
    return group;
  }

  /** The left part gets the new id, as in the product. */
  split(group: Group, key: Uint8Array, newId: number): Group {
    const generation = group.meta.epoch.generation + 1;
    const epoch = { ...group.meta.epoch, generation };
    const left = this.addShard(
      { id: newId, start: group.meta.start, end: key, epoch },
      group.leaderStoreId,
    );
    for (const [stamp, result] of group.sessions) left.sessions.set(stamp, result);
    group.meta = { ...group.meta, start: key, epoch };
    return left;
  }

  elect(group: Group, storeId: number): void {
    group.leaderStoreId = storeId;
    group.term += 1;
  }

  /** A router on a node that holds no shards, unless a store is named. */
  router(options: { at?: number; limits?: Partial<RoutingLimits> } = {}): Router {
    const addressBook = new AddressBook([]);
    addressBook.learn([...this.stores.keys()].map(descriptorOf));
    const local = options.at === undefined ? undefined : this.store(options.at);
    return new Router({
      clock: this.clock,
      random: this.random,
      observer: SILENT,
      localStore: () => local,
      transport: { call: (address, request, call) => this.call(address, request, call) },
      addressBook,
      prophet: { routes: (request) => this.routes(request) },
      ...(options.limits === undefined ? {} : { limits: options.limits }),
    });
  }

  async call(address: string, sent: PeerRequest, options: CallOptions): Promise<PeerResponse> {
    const storeId = Number(address.slice('store'.length));
    this.calls.push(storeId);
    await this.wait(1);
    if (this.dead.has(storeId)) throw new MatrixError('UNAVAILABLE', `${address} is dead`);
    if (this.silent.has(storeId)) return this.#timeOut(options.deadline);
    const frame = EXCHANGE_REQUESTS.encode({ calls: [{ id: 1n, request: sent }] });
    const request = EXCHANGE_REQUESTS.decode(frame).calls[0]?.request;
    if (request === undefined) throw new Error('Frame without request');
    const handle = createCallHandler({
      localStore: () => this.store(storeId),
      prophet: () => undefined,
      addressBook: new AddressBook([]),
      onFatal: (error) => {
        throw error;
      },
    });
    const response = await handle(request, { storeId: 0, address: '' }, options);
    await this.wait(1);
    if (this.dead.has(storeId)) {
      throw new MatrixError('UNAVAILABLE', `${address} died`, { outcome: 'unknown' });
    }
    if (this.silent.has(storeId)) return this.#timeOut(options.deadline);
    const answer = EXCHANGE_RESPONSES.decode(
      EXCHANGE_RESPONSES.encode({ answers: [{ id: 1n, response }] }),
    ).answers[0]?.response;
    if (answer === undefined) throw new Error('Frame without answer');
    if (answer.response.case === 'error') throw fromErrorMessage(answer.response.value);
    return answer;
  }

  async routes(request: RoutesRequest): Promise<RoutesResponse> {
    this.prophetAsked += 1;
    await this.wait(1);
    if (this.prophetRoutes === 'away') throw new MatrixError('UNAVAILABLE', 'Prophet is away');
    const groups = this.prophetRoutes()
      .filter(({ meta }) => rangesOverlap(meta, request))
      .sort((a, b) => compareBytes(a.meta.start, b.meta.start));
    return { routes: groups.slice(0, request.limit).map(routeOf) };
  }

  wait(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.clock.after(delayMs, resolve);
    });
  }

  /** Lets time pass until the promise is settled. */
  async settle<Value>(promise: Promise<Value>): Promise<Value> {
    let isSettled = false;
    const mark = (): void => {
      isSettled = true;
    };
    promise.then(mark, mark);
    const untilMs = this.scheduler.now() + 600_000;
    await this.scheduler.run({ untilMs, until: () => isSettled });
    if (!isSettled) throw new Error('The promise is not settled in ten minutes');
    return promise;
  }

  async pass(delayMs: number): Promise<void> {
    await this.scheduler.run({ untilMs: this.scheduler.now() + delayMs });
  }

  async #timeOut(deadline: number): Promise<never> {
    await this.wait(deadline - this.clock.now());
    throw new MatrixError('TIMEOUT', 'Silence');
  }
}

export class TestStore implements LocalStore {
  readonly storeId: number;
  readonly #cluster: TestCluster;
  /** For the next requests, one each. */
  readonly mishaps: Mishap[] = [];
  readonly steps: StoreStep[] = [];
  readonly proofs: ShardMeta[] = [];
  readonly created: ShardMeta[] = [];
  /** Shards of which the replica here has not heard of anything new since. */
  readonly frozen = new Map<number, { meta: ShardMeta; leaderStoreId: number; term: number }>();
  leaderlessMs = 0;
  health: LocalShard['health'] = [];

  constructor(storeId: number, cluster: TestCluster) {
    this.storeId = storeId;
    this.#cluster = cluster;
  }

  freeze(group: Group): void {
    const { meta, leaderStoreId, term } = group;
    this.frozen.set(meta.id, { meta, leaderStoreId, term });
  }

  async write(
    request: { readonly shardId: number; readonly command: WriteCommand },
    deadline: number,
  ): Promise<WriteResult> {
    const { command } = request;
    const group = this.#leading(request.shardId, command.generation, command.key);
    return this.#befall(deadline, () => this.#apply(group, command));
  }

  async get(
    request: { readonly shardId: number; readonly generation: number; readonly key: Uint8Array },
    deadline: number,
  ): Promise<GetResult> {
    this.#leading(request.shardId, request.generation, request.key);
    return this.#befall(deadline, () => {
      const record = this.#cluster.data.get(toMapKey(request.key));
      if (record === undefined) return { found: false };
      return { found: true, value: record.value, version: record.version };
    });
  }

  async scan(
    request: { readonly shardId: number; readonly generation: number; readonly scan: ScanRequest },
    deadline: number,
  ): Promise<ScanResult> {
    const { scan, shardId, generation } = request;
    const { meta } = this.#leading(shardId, generation, scan.reverse ? undefined : scan.start);
    return this.#befall(deadline, () => {
      const all = [...this.#cluster.data.values()]
        .filter(({ key }) => rangeContains(meta, key) && rangeContains(scan, key))
        .sort((a, b) => compareBytes(a.key, b.key) * (scan.reverse ? -1 : 1));
      const items = all.slice(0, scan.limit);
      const last = items.at(-1)?.key;
      const next =
        all.length > items.length && last !== undefined
          ? { next: scan.reverse ? last : keyAfter(last) }
          : restBehind(meta, scan);
      return { items, ...next };
    });
  }

  shards(): readonly LocalShard[] {
    return this.#cluster.groups.flatMap(({ meta }) => this.shard(meta.id) ?? []);
  }

  shard(shardId: number): LocalShard | undefined {
    const group = this.frozen.get(shardId) ?? this.#group(shardId);
    const replica = group === undefined ? undefined : replicaOn(group.meta, this.storeId);
    if (group === undefined || replica === undefined) return undefined;
    const { meta, term, leaderStoreId } = group;
    return {
      meta,
      term,
      replicaId: replica.replicaId,
      isLeader: leaderStoreId === this.storeId,
      leaderReplicaId: replicaOn(meta, leaderStoreId)?.replicaId ?? 0,
      leaderlessMs: this.leaderlessMs,
      sizeBytes: 100,
      keys: 1,
      health: this.health,
    };
  }

  shardAt(key: Uint8Array): LocalShard | undefined {
    return this.shards().find(({ meta }) => rangeContains(meta, key));
  }

  createInitial(meta: ShardMeta): Promise<void> {
    this.created.push(meta);
    return Promise.resolve();
  }

  takeStep(step: StoreStep): ReturnType<LocalStore['takeStep']> {
    this.steps.push(step);
    return { type: 'taken' };
  }

  acceptProof(proof: ShardMeta): void {
    this.proofs.push(proof);
  }

  #group(shardId: number): Group | undefined {
    return this.#cluster.groups.find(({ meta }) => meta.id === shardId);
  }

  #leading(shardId: number, generation: number, key: Uint8Array | undefined): Group {
    const shard = this.shard(shardId);
    const group = this.#group(shardId);
    const range = key === undefined ? undefined : { start: key, end: Uint8Array.of(...key, 0) };
    const hinted = this.shards()
      .map(({ meta }) => meta)
      .filter((meta) => range === undefined || rangesOverlap(meta, range));
    if (shard === undefined || group === undefined) {
      throw new MatrixError('SHARD_NOT_FOUND', 'Not here', { hint: { shards: hinted } });
    }
    const isCovered = key === undefined || rangeContains(shard.meta, key);
    if (shard.meta.epoch.generation !== generation || !isCovered) {
      throw new MatrixError('EPOCH_NOT_MATCH', 'Was split', { hint: { shards: hinted } });
    }
    if (shard.isLeader) return group;
    const leader = shard.meta.replicas.find(({ replicaId }) => replicaId === shard.leaderReplicaId);
    const hint = leader === undefined ? {} : { leader: { ...leader, term: shard.term } };
    throw new MatrixError('NOT_LEADER', 'Leads not', { hint });
  }

  #apply(group: Group, command: WriteCommand): WriteResult {
    const { session, key } = command;
    const stamp = `${toMapKey(session.clientId)}/${session.sequence}`;
    const earlier = group.sessions.get(stamp);
    if (earlier !== undefined) return earlier;
    if (group.floor !== undefined && compareBytes(session.clientId, group.floor) <= 0) {
      const hint = { sessionFloor: group.floor };
      throw new MatrixError('SESSION_EXPIRED', 'Forgotten', { hint });
    }
    const known = this.#cluster.data.get(toMapKey(key));
    const wanted = command.precondition;
    const holds = wanted?.type !== 'version' || wanted.version === (known?.version ?? 0);
    const version = holds ? group.applied + 1 : (known?.version ?? 0);
    if (holds) {
      group.applied += 1;
      if (command.type === 'delete') this.#cluster.data.delete(toMapKey(key));
      else
        this.#cluster.data.set(toMapKey(key), {
          key: key.slice(),
          value: command.value.slice(),
          version,
        });
    }
    const result = { applied: holds, existed: known !== undefined, version };
    group.sessions.set(stamp, result);
    return result;
  }

  async #befall<Value>(deadline: number, work: () => Value): Promise<Value> {
    const mishap = this.mishaps.shift();
    if (mishap instanceof MatrixError) throw mishap;
    const value = work();
    if (mishap === 'lost-answer') {
      await this.#cluster.wait(deadline - this.#cluster.clock.now());
      throw new MatrixError('TIMEOUT', 'The answer is lost');
    }
    return value;
  }
}

function routeOf({ meta, leaderStoreId, term }: Group): RoutesResponse['routes'][number] {
  const leader = replicaOn(meta, leaderStoreId);
  const fields = { shard: meta, sizeBytes: 0, keys: 0 };
  return leader === undefined ? fields : { ...fields, leader: { ...leader, term } };
}

/** Where the scan goes on in another shard. */
function restBehind(shard: ShardMeta, scan: ScanRequest): { next?: Uint8Array } {
  if (scan.reverse) {
    return compareBytes(shard.start, scan.start) > 0 ? { next: shard.start } : {};
  }
  const isLast = shard.end.length === 0;
  const isWanted = scan.end.length === 0 || compareBytes(shard.end, scan.end) < 0;
  return !isLast && isWanted ? { next: shard.end } : {};
}

export function descriptorOf(id: number): StoreDescriptor {
  return {
    id,
    name: `node${id}`,
    address: `store${id}`,
    httpAddress: '',
    version: 'test',
    labels: {},
    isProphetMember: false,
  };
}
