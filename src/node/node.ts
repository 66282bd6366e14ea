// One node, built from its ports: the same function builds it for main.ts, on the real clock, disk
// and network, and for the simulator, on simulated ones (decision 13).

import { type Clock, sleep } from '../kernel/clock.ts';
import { MatrixError } from '../kernel/errors.ts';
import { NO_ID, PROPHET_SHARD, type ReplicaId } from '../kernel/ids.ts';
import type { Observer } from '../kernel/observer.ts';
import { fork, type Random } from '../kernel/random.ts';
import { encodeIdent, type Ident, openIdent } from './ident.ts';
import { NodeHealth } from './node-health.ts';
import { probeOwnGroup } from './probe-own-group.ts';
import { Prophet } from './prophet/prophet.ts';
import { DEFAULT_PROPHET_CONFIG } from './prophet/prophet-config.ts';
import { ProphetMachine } from './prophet/prophet-machine.ts';
import { claimMember, prophetMeta, waitUntilMayVote } from './prophet-start.ts';
import { AddressBook } from './routing/address-book.ts';
import { AddressRefresh } from './routing/address-refresh.ts';
import { Admin } from './routing/admin.ts';
import { createCallHandler } from './routing/peer-handlers.ts';
import { ProphetClient } from './routing/prophet-client.ts';
import { ProphetLink, type StoreMeasures } from './routing/prophet-link.ts';
import { Router } from './routing/router.ts';
import type { AdminService, KvService } from './routing/services.ts';
import { StaleReplicas } from './routing/stale-replicas.ts';
import type { LogLimits } from './shard/log-compaction.ts';
import type { ReplicaDescriptor } from './shard/shard-meta.ts';
import type { Engine } from './storage/engine.ts';
import { identKey } from './storage/keys.ts';
import type { LocalStore } from './store/local-store.ts';
import { ProphetGroup } from './store/prophet-group.ts';
import { Store } from './store/store.ts';
import type { Envelope, Transport, TransportHandlers } from './transport/transport.ts';

/** Everything outside of the node; all of it can be simulated. */
export interface NodePorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly observer: Observer;
  readonly engine: Engine;
  readonly transport: Transport;
  /** Of the volume that the data directory lies on. */
  readonly diskSpace: () => Promise<{ readonly capacityBytes: number; readonly freeBytes: number }>;
  /** The node cannot go on: its process must end. */
  readonly onFatal: (error: unknown) => void;
}

export interface NodeConfig {
  readonly name: string;
  readonly clusterId: string;
  readonly roles: { readonly isProphet: boolean; readonly isData: boolean };
  readonly advertise: string;
  readonly httpAdvertise: string;
  readonly prophetMembers: readonly { readonly name: string; readonly address: string }[];
  readonly maxReplicas: number;
  readonly bootstrapExpect: number;
  readonly shardCapacityBytes: number;
  /** In place of the usual bounds of a shard's log. */
  readonly replicaLimits?: Partial<LogLimits>;
  readonly storeDownAfterMs: number;
  readonly prepareAfterMs: number;
  readonly labels: Readonly<Record<string, string>>;
  /** Requests in flight at this node before it answers OVERLOADED. */
  readonly requestsMax: number;
  /** The release of this program. */
  readonly version: string;
}

/** Decision 10: heartbeat 150 ms, election 1 to 2 s. */
const TIMING = { tickMs: 50, heartbeatTicks: 3, electionTicks: 20 };
/** How long a stopping node waits for the leaderships that it hands over. */
const HANDOVER_MS = 1500;
const HANDOVER_STEP_MS = 25;

/** Reads who the data directory belongs to, and builds the node. Throws before anything is changed. */
export async function build(ports: NodePorts, config: NodeConfig): Promise<Node> {
  const { engine, random } = ports;
  const ident = await openIdent(engine, { ...config, random });
  return new Node(ports, config, ident);
}

export class Node {
  readonly kv: KvService;
  readonly admin: AdminService;
  readonly #ports: NodePorts;
  readonly #config: NodeConfig;
  readonly #addressBook: AddressBook;
  readonly #store: Store;
  readonly #health: NodeHealth;
  readonly #prophet: Prophet | undefined;
  readonly #client: ProphetClient;
  readonly #link: ProphetLink;
  readonly #stale: StaleReplicas;
  readonly #addresses: AddressRefresh;
  #ident: Ident;
  #isLeaving = false;
  #isStopped = false;

  constructor(ports: NodePorts, config: NodeConfig, ident: Ident) {
    this.#ports = ports;
    this.#config = config;
    this.#ident = ident;
    const { clock, observer, transport } = ports;
    const random = fork(ports.random);
    const addressBook = new AddressBook(config.prophetMembers);
    this.#addressBook = addressBook;
    this.#health = new NodeHealth(config.roles);
    const machine = config.roles.isProphet ? new ProphetMachine() : undefined;
    this.#store = this.#buildStore(machine);
    this.#prophet = machine === undefined ? undefined : this.#buildProphet(machine);
    const member = addressBook.memberNamed(config.name);
    const local =
      this.#prophet === undefined || member === undefined
        ? {}
        : { local: { replicaId: member.replicaId, prophet: this.#prophet } };
    const prophet = new ProphetClient({ clock, random, transport, addressBook, ...local });
    this.#client = prophet;
    const localStore = (): LocalStore | undefined => this.#localStore();
    const shared = { clock, random, observer, localStore, transport, addressBook, prophet };
    this.kv = new Router({ ...shared, limits: { requestsInFlight: config.requestsMax } });
    this.admin = new Admin({
      ...shared,
      version: config.version,
      health: () => this.#health.report(),
    });
    this.#stale = new StaleReplicas(shared);
    this.#addresses = new AddressRefresh(shared);
    this.#link = this.#buildLink(prophet);
  }

  /**
   * Opens the replicas on disk and begins to talk and to serve. Resolves before the node has joined
   * its cluster: that may take until the others are there; `admin.health()` tells.
   */
  async start(): Promise<void> {
    const { transport } = this.#ports;
    const { storeId, incarnation } = this.#ident;
    if (storeId !== NO_ID) this.#store.identify(storeId);
    transport.identify({ storeId, incarnation });
    await this.#store.start();
    await transport.start(this.#handlers());
    this.#health.opened();
    this.#prophet?.start();
    this.#inBackground(this.#startProphetGroup());
    if (this.#config.roles.isData) this.#join().catch((error: unknown) => this.#storeEnded(error));
    else this.#addresses.start();
  }

  /**
   * Before a stop: not ready any more, and every leadership handed to a follower that is up to date,
   * while this node still answers. Idempotent.
   */
  async leave(): Promise<void> {
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    this.#health.stopping();
    await this.#handOver();
  }

  /** Leaves, then stops talking. The engine is closed by its owner. Idempotent. */
  async stop(): Promise<void> {
    if (this.#isStopped) return;
    await this.leave();
    this.#isStopped = true;
    this.#link.close();
    this.#stale.close();
    this.#addresses.close();
    this.#prophet?.stop();
    await this.#store.stop();
    await this.#ports.transport.close();
  }

  #buildStore(prophetMachine: ProphetMachine | undefined): Store {
    const { clock, random, observer, engine, transport } = this.#ports;
    return new Store({
      engine,
      clock,
      random: fork(random),
      observer,
      timing: TIMING,
      shardCapacityBytes: this.#config.shardCapacityBytes,
      limits: this.#config.replicaLimits ?? {},
      ...(prophetMachine && { prophetMachine }),
      listener: {
        onShardChanged: (shardId) => this.#link.onShardChanged(shardId),
        allocateIds: (count) => this.#link.allocateIds(count),
        onMaybeStale: (shardId) => this.#stale.suspect(shardId),
        onFatal: (error) => this.#fatal(error),
      },
      send: (envelope) => this.#send(envelope),
      streamSnapshot: async (to, snapshot) => {
        const address = this.#addressOf(to.shardId, to.replica);
        if (address === undefined)
          throw new Error(`Store ${to.replica.storeId} has no address yet`);
        await transport.sendSnapshot(address, { toStoreId: to.replica.storeId, ...snapshot });
      },
    });
  }

  #buildProphet(machine: ProphetMachine): Prophet {
    const { clock, observer } = this.#ports;
    const config = this.#config;
    return new Prophet({
      clock,
      observer,
      machine,
      group: new ProphetGroup(this.#store),
      clusterId: config.clusterId,
      memberNames: config.prophetMembers.map(({ name }) => name),
      config: {
        ...DEFAULT_PROPHET_CONFIG,
        maxReplicas: config.maxReplicas,
        bootstrapExpect: config.bootstrapExpect,
        storeDownMs: config.storeDownAfterMs,
        prepareMs: config.prepareAfterMs,
      },
    });
  }

  #buildLink(prophet: ProphetClient): ProphetLink {
    const { clock, random, observer } = this.#ports;
    const { name, advertise, httpAdvertise, version, labels, roles } = this.#config;
    const { storeId, nonce, incarnation } = this.#ident;
    return new ProphetLink({
      clock,
      random: fork(random),
      observer,
      prophet,
      addressBook: this.#addressBook,
      descriptor: {
        id: storeId,
        name,
        address: advertise,
        httpAddress: httpAdvertise,
        version,
        labels,
        isProphetMember: roles.isProphet,
      },
      incarnation,
      nonce,
      probe: () =>
        this.#store.writeDurably([
          { type: 'put', key: identKey(), value: encodeIdent(this.#ident) },
        ]),
      measure: () => this.#measure(),
      onFatal: (error) => this.#storeEnded(error),
    });
  }

  #handlers(): TransportHandlers {
    const onCall = createCallHandler({
      localStore: () => this.#localStore(),
      prophet: () => this.#prophet,
      addressBook: this.#addressBook,
      onFatal: (error) => this.#fatal(error),
    });
    return {
      onEnvelope: (envelope, from) => {
        this.#addressBook.hear(from.storeId, from.address);
        this.#store.receive(envelope);
      },
      onCall: (request, from, options) =>
        probeOwnGroup(request, this.#store) ?? onCall(request, from, options),
      onSnapshot: (_from, header, chunks) => this.#store.receiveSnapshot(header, chunks),
      onUnreachable: (address) => {
        this.#store.peerLost((shardId, peer) => this.#addressOf(shardId, peer) === address);
      },
    };
  }

  async #startProphetGroup(): Promise<void> {
    const { clock, observer, transport } = this.#ports;
    const { name } = this.#config;
    const member = this.#addressBook.memberNamed(name);
    if (this.#prophet === undefined || member === undefined) return;
    if (this.#store.isQuarantined(PROPHET_SHARD)) {
      // What it voted for is lost, so that it must not vote; the store beside it serves on.
      observer.log.error(
        { member: name },
        'Member of Prophet is damaged and stays out of its group',
      );
      return;
    }
    const start = {
      clock,
      observer,
      transport,
      addressBook: this.#addressBook,
      prophet: this.#client,
      name,
      nonce: this.#ident.nonce,
      isStopped: () => this.#isStopped,
    };
    if (this.#store.replica(PROPHET_SHARD) === undefined) {
      await waitUntilMayVote(start);
      if (this.#isStopped) return;
      const local = { replicaId: member.replicaId, storeId: NO_ID, role: 'voter' } as const;
      await this.#store.createReplica(prophetMeta(this.#addressBook), local);
    }
    this.#health.votes();
    await claimMember(start);
  }

  /** Gets the store its id, once, and ties it to Prophet. */
  async #join(): Promise<void> {
    const { transport, observer } = this.#ports;
    const { storeId, initialShards } = await this.#link.register();
    if (this.#isStopped) return;
    if (this.#ident.storeId !== storeId) {
      this.#ident = { ...this.#ident, storeId };
      await this.#store.writeDurably([
        { type: 'put', key: identKey(), value: encodeIdent(this.#ident) },
      ]);
      observer.log.info({ store: storeId }, 'Store has its id');
    }
    this.#store.identify(storeId);
    transport.identify({ storeId, incarnation: this.#ident.incarnation });
    for (const meta of initialShards) await this.#store.createInitial(meta);
    if (this.#isStopped) return;
    this.#link.start(this.#store);
    this.#stale.start();
    this.#health.registered();
  }

  #localStore(): LocalStore | undefined {
    return this.#config.roles.isData && this.#store.storeId !== NO_ID ? this.#store : undefined;
  }

  #send(envelope: Envelope): void {
    const address = this.#addressOf(envelope.shardId, envelope.to);
    if (address !== undefined) this.#ports.transport.send(address, envelope);
  }

  /** Members of Prophet's group are found by configuration, all others by their store. */
  #addressOf(
    shardId: number,
    replica: Pick<ReplicaDescriptor, 'replicaId' | 'storeId'>,
  ): string | undefined {
    if (shardId === PROPHET_SHARD)
      return this.#addressBook.memberAddress(replica.replicaId as ReplicaId);
    return this.#addressBook.addressOf(replica.storeId);
  }

  async #measure(): Promise<StoreMeasures> {
    const { sending, receiving } = this.#store.snapshots;
    const space = await this.#ports.diskSpace();
    return { ...space, snapshotsSending: sending, snapshotsReceiving: receiving };
  }

  async #handOver(): Promise<void> {
    const { clock } = this.#ports;
    const deadline = clock.now() + HANDOVER_MS;
    const handed = this.#store.transferLeaders();
    while (handed.some((replica) => replica.isLeader) && clock.now() < deadline) {
      await sleep(clock, HANDOVER_STEP_MS);
    }
  }

  #inBackground(work: Promise<void>): void {
    work.catch((error: unknown) => this.#fatal(error));
  }

  /** A member of Prophet outlives its store: losing it with the store would endanger the quorum. */
  #storeEnded(error: unknown): void {
    const isRemoved = error instanceof MatrixError && error.code === 'STORE_REMOVED';
    if (!isRemoved || this.#prophet === undefined) {
      this.#fatal(error);
      return;
    }
    this.#ports.observer.log.warn(
      { store: this.#ident.storeId },
      'Store was removed, Prophet goes on',
    );
    this.#link.close();
    this.#stale.close();
    this.#addresses.start();
    this.#health.removed();
  }

  #fatal(error: unknown): void {
    if (!this.#isStopped) this.#ports.onFatal(error);
  }
}
