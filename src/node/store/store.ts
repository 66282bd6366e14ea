// The replicas of one node and the loop that drives them, behind the face `LocalStore`. This file
// puts the parts together; each part is a file of its own in this room.

import { type Clock, every, type Timer } from '../../kernel/clock.ts';
import { NO_ID, PROPHET_SHARD, type ShardId, type StoreId } from '../../kernel/ids.ts';
import type { Observer } from '../../kernel/observer.ts';
import type { Random } from '../../kernel/random.ts';
import type { Message } from '../raft/messages.ts';
import type { WriteCommand } from '../shard/commands.ts';
import type { GetResult, ScanRequest, ScanResult, WriteResult } from '../shard/kv-types.ts';
import type { LogLimits } from '../shard/log-compaction.ts';
import { readLog } from '../shard/log-store.ts';
import type { Replica, ReplicaTiming } from '../shard/replica.ts';
import {
  type ReplicaDescriptor,
  replicaById,
  replicaOn,
  type ShardMeta,
} from '../shard/shard-meta.ts';
import { buryReplica, type MetaRecord } from '../shard/shard-records.ts';
import { writeFirstState } from '../shard/split-apply.ts';
import type { StateMachine } from '../shard/state-machine.ts';
import type { Effect } from '../shard/turn.ts';
import type { Engine, WriteOperation } from '../storage/engine.ts';
import { metaKey } from '../storage/keys.ts';
import { OverlayBatch } from '../storage/overlay-batch.ts';
import type { Envelope } from '../transport/transport.ts';
import { openReplicas } from './boot.ts';
import { describeShard } from './describe-shard.ts';
import { Destroyer } from './destroyer.ts';
import { handOver } from './hand-over.ts';
import { Inbound } from './inbound.ts';
import { checkLimits, REPLICA_LIMITS } from './limits.ts';
import type { LocalShard, LocalStore, StoreListener, StoreStep } from './local-store.ts';
import { ReplicaFactory } from './replica-factory.ts';
import { ReplicaHost } from './replica-host.ts';
import { Requests } from './requests.ts';
import { installStaged } from './snapshot-install.ts';
import { SnapshotReceiver } from './snapshot-receiver.ts';
import { SnapshotSender, type SnapshotStream } from './snapshot-sender.ts';
import { SpaceReclaimer } from './space-reclaimer.ts';
import { Splitter } from './splitter.ts';
import { type StepResult, StepTaker } from './step-taker.ts';
import { sampleStore } from './store-gauges.ts';
import { TurnLoop } from './turn-loop.ts';

export interface StoreOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly random: Random;
  readonly observer: Observer;
  readonly timing: ReplicaTiming & { readonly tickMs: number };
  /** Bytes of keys and values at which a shard is split. */
  readonly shardCapacityBytes: number;
  /** In place of the usual ones: a simulation cuts its logs early, so that snapshots are needed. */
  readonly limits?: Partial<LogLimits>;
  readonly prophetMachine?: StateMachine;
  readonly listener: StoreListener;
  /** Hands an envelope to the transport, which finds the address of the store. */
  readonly send: (envelope: Envelope) => void;
  readonly streamSnapshot: SnapshotStream;
}

const SAMPLE_MS = 5000;
/** A replica that was heard of within this time knows its group. */
const KNOWN_MS = 1000;
/** Between two attempts of replicas that have just started. */
const HURRY_TICKS = 6;

export class Store implements LocalStore {
  readonly #options: StoreOptions;
  readonly #host = new ReplicaHost();
  readonly #loop: TurnLoop;
  readonly #factory: ReplicaFactory;
  readonly #inbound: Inbound;
  readonly #requests: Requests;
  readonly #splitter: Splitter;
  readonly #steps: StepTaker;
  readonly #sender: SnapshotSender;
  readonly #receiver: SnapshotReceiver;
  readonly #destroyer: Destroyer;
  readonly #reclaimer: SpaceReclaimer;
  /** Shards that a split has made here, and when: their followers make themselves. */
  readonly #splitAt = new Map<ShardId, number>();
  readonly #installs = new Map<ShardId, Promise<void>>();
  #storeId: StoreId = NO_ID;
  readonly #timers: Timer[] = [];
  #ticks = 0;
  #isStopped = false;

  constructor(options: StoreOptions) {
    const limits = { ...REPLICA_LIMITS, ...options.limits };
    checkLimits(limits);
    this.#options = options;
    const { engine, clock, random, observer, timing, listener } = options;
    const host = this.#host;
    const wake = (replica: Replica): void => this.#loop.wake(replica);
    const onFatal = (error: unknown): void => listener.onFatal(error);
    this.#loop = this.#buildLoop();
    const submit = this.#loop.submit.bind(this.#loop);
    const machine =
      options.prophetMachine === undefined ? {} : { prophetMachine: options.prophetMachine };
    this.#factory = new ReplicaFactory({
      engine,
      clock,
      random,
      observer,
      timing,
      limits,
      ...machine,
    });
    this.#inbound = new Inbound({
      host,
      engine,
      clock,
      observer,
      wake,
      createUninitialised: (shardId, replicaId) => this.#factory.uninitialised(shardId, replicaId),
      onMaybeStale: (shardId) => listener.onMaybeStale(shardId),
    });
    this.#requests = new Requests({ host, engine, observer, wake });
    const capacityBytes = options.shardCapacityBytes;
    const allocateIds = (count: number): Promise<number> => listener.allocateIds(count);
    const settled = (): Promise<void> => this.#loop.nextTurn();
    this.#splitter = new Splitter({
      engine,
      clock,
      observer,
      capacityBytes,
      allocateIds,
      wake,
      settled,
    });
    this.#steps = new StepTaker({ host, splitter: this.#splitter, wake });
    const splitAt = (shardId: ShardId): number | undefined => this.#splitAt.get(shardId);
    this.#sender = new SnapshotSender({
      engine,
      clock,
      observer,
      stream: options.streamSnapshot,
      wake,
      splitAt,
    });
    this.#receiver = this.#buildReceiver();
    this.#reclaimer = new SpaceReclaimer({ engine, observer });
    this.#destroyer = new Destroyer({ engine, submit, host, observer, onFatal });
  }

  #buildLoop(): TurnLoop {
    const { engine, clock, observer, listener } = this.#options;
    return new TurnLoop({
      engine,
      clock,
      observer,
      onFatal: (error) => listener.onFatal(error),
      send: (shardId, message) => this.#send(shardId, message),
      reserve: (meta) => this.#reserve(meta),
      carryOut: (effect) => this.#carryOut(effect),
    });
  }

  #buildReceiver(): SnapshotReceiver {
    return new SnapshotReceiver({
      engine: this.#options.engine,
      submit: (operations) => this.#loop.submit(operations),
      host: this.#host,
      wake: (replica) => this.#loop.wake(replica),
      storeId: () => this.#storeId,
      replicaFor: (shardId, replicaId) => this.#replicaFor(shardId, replicaId),
      nextTurn: () => this.#loop.nextTurn(),
      installed: (shardId) => this.#installs.get(shardId) ?? Promise.resolve(),
    });
  }

  get storeId(): StoreId {
    return this.#storeId;
  }

  get snapshots(): { readonly sending: number; readonly receiving: number } {
    return { sending: this.#sender.sending, receiving: this.#receiver.receiving };
  }

  /** Opens every replica on disk and starts the clock. Rejects when the disk cannot be read. */
  async start(): Promise<void> {
    const { engine, clock, observer, timing } = this.#options;
    const submit = this.#loop.submit.bind(this.#loop);
    await this.#destroyer.resume();
    await openReplicas({
      engine,
      submit,
      host: this.#host,
      observer,
      open: (record, log) => this.#factory.open(record, log),
    });
    this.#timers.push(every(clock, timing.tickMs, () => this.#tick()));
    this.#timers.push(
      every(clock, SAMPLE_MS, () => sampleStore({ engine, observer, replicas: this.#host.all() })),
    );
  }

  /** From now on this node is known under this id. */
  identify(storeId: StoreId): void {
    this.#storeId = storeId;
  }

  /** Settles every waiter, ends the turn in flight. The engine is closed by its owner afterwards. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const timer of this.#timers) timer.cancel();
    this.#destroyer.stop();
    this.#reclaimer.stop();
    this.#sender.stop();
    for (const replica of this.#host.all()) replica.close('The node is stopping');
    await this.#loop.stop();
  }

  // ---- requests --------------------------------------------------------------------------------

  write(
    request: { shardId: ShardId; command: WriteCommand },
    deadline: number,
  ): Promise<WriteResult> {
    return this.#requests.write(request, deadline);
  }

  get(
    request: { shardId: ShardId; generation: number; key: Uint8Array },
    deadline: number,
  ): Promise<GetResult> {
    return this.#requests.get(request, deadline);
  }

  scan(
    request: { shardId: ShardId; generation: number; scan: ScanRequest },
    deadline: number,
  ): Promise<ScanResult> {
    return this.#requests.scan(request, deadline);
  }

  shards(): readonly LocalShard[] {
    return this.#host.ordered().map((replica) => this.#describe(replica));
  }

  shard(shardId: ShardId): LocalShard | undefined {
    const replica = this.#host.userShard(shardId);
    return replica === undefined ? undefined : this.#describe(replica);
  }

  shardAt(key: Uint8Array): LocalShard | undefined {
    const replica = this.#host.at(key);
    return replica === undefined ? undefined : this.#describe(replica);
  }

  /** True when the disk knows the shard, but not well enough to open its replica. */
  isQuarantined(shardId: ShardId): boolean {
    return this.#host.claimOf(shardId) === 'quarantine';
  }

  /** The replica itself: for Prophet's group, which has no face of its own here. */
  replica(shardId: ShardId): Replica | undefined {
    return this.#host.get(shardId);
  }

  wake(replica: Replica): void {
    this.#loop.wake(replica);
  }

  takeStep(step: StoreStep): StepResult {
    return this.#steps.take(step);
  }

  // ---- replicas come and go --------------------------------------------------------------------

  async createInitial(meta: ShardMeta): Promise<void> {
    const local = replicaOn(meta, this.#storeId);
    if (local !== undefined) await this.createReplica(meta, local);
  }

  /** Makes the first replica of a new group, unless the disk has heard of the shard before. */
  async createReplica(meta: ShardMeta, local: ReplicaDescriptor): Promise<void> {
    const existing = this.#host.get(meta.id);
    if (existing?.isInitialised === true || existing?.isInstalling === true) return;
    if (this.#options.engine.get(metaKey(meta.id)) !== undefined) return;
    const conflict = this.#host.conflict(meta.id, meta);
    if (conflict !== undefined) {
      const fields = { shard: meta.id, conflict };
      this.#options.observer.log.warn(fields, 'First replica of a shard cannot be made yet');
      return;
    }
    this.#reserve(meta);
    const batch = new OverlayBatch(this.#options.engine);
    writeFirstState(batch, meta, local.replicaId);
    await this.#loop.submit(batch.operations());
    await this.#openCreated(meta, local.replicaId);
  }

  acceptProof(proof: ShardMeta): void {
    const replica = this.#host.get(proof.id);
    if (replica === undefined || !replica.isInitialised || replica.isInstalling) return;
    const isNewer = proof.epoch.confVersion > replica.meta.epoch.confVersion;
    if (!isNewer || replicaById(proof, replica.replicaId) !== undefined) return;
    const { meta, replicaId } = replica;
    this.#options.observer.log.info(
      { shard: meta.id, replica: replicaId },
      'Replica was removed from its group while it slept',
    );
    this.#drop(replica, 'The replica was removed from its group');
    this.#host.claim(meta.id, 'destroy', meta);
    const batch = new OverlayBatch(this.#options.engine);
    buryReplica(batch, { meta, replicaId });
    this.#loop.submit(batch.operations()).then(
      () => this.#destroyer.destroy(meta),
      (error: unknown) => this.#failed(error),
    );
  }

  /** Hands every leadership on this store to a follower that is up to date. Returns those it tries. */
  transferLeaders(): readonly Replica[] {
    const handed = handOver(this.#host.all());
    for (const replica of handed) this.#loop.wake(replica);
    return handed;
  }

  /** Writes beside the replicas. Resolves once durable. */
  writeDurably(operations: readonly WriteOperation[]): Promise<void> {
    return this.#loop.submit(operations);
  }

  // ---- messages --------------------------------------------------------------------------------

  receive(envelope: Envelope): void {
    if (!this.#isStopped) this.#inbound.receive(envelope);
  }

  receiveSnapshot(header: Uint8Array, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    return this.#receiver.receive(header, chunks);
  }

  /** The process behind these replicas is gone or cannot be reached. */
  peerLost(isThere: (shardId: ShardId, replica: ReplicaDescriptor) => boolean): void {
    for (const replica of this.#host.all()) {
      for (const peer of replica.meta.replicas) {
        const isOther = peer.replicaId !== replica.replicaId && isThere(replica.shardId, peer);
        if (!isOther) continue;
        if (replica.leader === peer.replicaId) replica.leaderLost();
        else if (replica.isLeader) replica.peerUnreachable(peer.replicaId);
      }
    }
  }

  #send(shardId: ShardId, message: Message): void {
    const replica = this.#host.get(shardId);
    if (replica === undefined) return;
    const { meta, replicaId } = replica;
    const to = replicaById(meta, message.to) ?? this.#inbound.contact(message.to);
    if (to === undefined) return;
    const from = replicaById(meta, replicaId) ?? {
      replicaId,
      storeId: this.#storeId,
      role: 'learner',
    };
    const shard = { start: meta.start, end: meta.end, epoch: meta.epoch };
    const isKnown = this.#isKnownTo(message);
    this.#options.send({ shardId, toStoreId: to.storeId, from, to, shard, message, isKnown });
  }

  /** Who answered a moment ago knows the group, and whoever sent a heartbeat does. */
  #isKnownTo(message: Message): boolean {
    if (message.type === 'heartbeat-response') return true;
    const heardAt = this.#inbound.heardAt(message.to);
    return heardAt !== undefined && this.#options.clock.now() - heardAt < KNOWN_MS;
  }

  // ---- effects of a turn -----------------------------------------------------------------------

  #carryOut(effect: Effect): void {
    switch (effect.type) {
      case 'log-cut':
        this.#reclaimer.logCut(effect.shardId, effect.bytes);
        return;
      case 'changed':
        this.#host.rangesChanged();
        this.#options.listener.onShardChanged(effect.shardId);
        return;
      case 'split':
        this.#host.rangesChanged();
        for (const meta of effect.created) this.#openSplit(meta, effect.wasLeader);
        return;
      case 'removed': {
        const replica = this.#host.get(effect.shardId);
        if (replica !== undefined) this.#drop(replica, 'The replica was removed from its group');
        this.#destroyer.destroy(effect.meta);
        return;
      }
      case 'snapshot-wanted': {
        const replica = this.#host.get(effect.shardId);
        if (replica !== undefined) this.#sender.send(replica, effect.to);
        return;
      }
      case 'install': {
        const replica = this.#host.get(effect.shardId);
        if (replica !== undefined) this.#installs.set(effect.shardId, this.#install(replica));
      }
    }
  }

  /** The new shard's whole first state became durable with the split. */
  #openSplit(meta: ShardMeta, wasLeader: boolean): void {
    const local = replicaOn(meta, this.#storeId);
    if (local === undefined) return;
    this.#splitAt.set(meta.id, this.#options.clock.now());
    this.#openCreated(meta, local.replicaId).then(
      (replica) => {
        if (wasLeader) replica.campaign();
        this.#loop.wake(replica);
        this.#inbound.replayVotes(meta.id);
        this.#options.listener.onShardChanged(meta.id);
      },
      (error: unknown) => this.#failed(error),
    );
  }

  async #openCreated(meta: ShardMeta, replicaId: number): Promise<Replica> {
    const record: MetaRecord = { state: 'normal', meta, replicaId, minReplicaId: replicaId };
    const log = await readLog(this.#options.engine, meta.id);
    const replica = await this.#factory.open(record, log);
    this.#host.add(replica);
    this.#host.release(meta.id, 'opening');
    return replica;
  }

  async #install(replica: Replica): Promise<void> {
    const { shardId } = replica;
    const { engine, observer } = this.#options;
    try {
      const submit = this.#loop.submit.bind(this.#loop);
      const { last } = await installStaged({ engine, submit }, replica);
      await this.#factory.load(replica);
      replica.installed(last, (id, message) => this.#send(id, message));
      this.#host.rangesChanged();
      this.#loop.wake(replica);
      observer.log.info({ shard: shardId, index: last.index }, 'Snapshot was installed');
      observer.metrics.count('matrixkv_shard_snapshots_total', 1, {
        direction: 'received',
        result: 'ok',
      });
      this.#options.listener.onShardChanged(shardId);
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#installs.delete(shardId);
    }
  }

  #replicaFor(shardId: ShardId, replicaId: number): Replica | undefined {
    const existing = this.#host.get(shardId);
    if (existing !== undefined) return existing.replicaId === replicaId ? existing : undefined;
    const replica = this.#factory.uninitialised(shardId, replicaId);
    this.#host.add(replica);
    return replica;
  }

  #reserve(meta: ShardMeta): void {
    const replica = this.#host.get(meta.id);
    if (replica !== undefined && !replica.isInitialised) {
      this.#drop(replica, 'The shard was split off here');
    }
    this.#host.claim(meta.id, 'opening', meta);
  }

  #drop(replica: Replica, reason: string): void {
    replica.close(reason);
    this.#host.remove(replica.shardId);
    this.#splitter.forget(replica.shardId);
    this.#splitAt.delete(replica.shardId);
  }

  #describe(replica: Replica): LocalShard {
    const now = this.#options.clock.now();
    return describeShard(replica, { now, heardAt: (id) => this.#inbound.heardAt(id) });
  }

  #tick(): void {
    this.#ticks += 1;
    const isHurryTick = this.#ticks % HURRY_TICKS === 0;
    for (const replica of this.#host.all()) {
      if (isHurryTick) replica.hurryFirstElection();
      replica.tick();
      if (replica.shardId !== PROPHET_SHARD) this.#splitter.consider(replica);
      if (replica.hasWork()) this.#loop.wake(replica);
    }
  }

  #failed(error: unknown): void {
    if (!this.#isStopped) this.#options.listener.onFatal(error);
  }
}
