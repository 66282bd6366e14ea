// The real node on simulated ports: `build` of src/node/node.ts, with the transport that it has in
// production over a simulated wire. Nothing of the node itself is replaced.

import { MatrixError } from '../../src/kernel/errors.ts';
import { chance, fork, type Random } from '../../src/kernel/random.ts';
import { build, type Node, type NodeConfig } from '../../src/node/node.ts';
import type { AdminService, KvService } from '../../src/node/routing/services.ts';
import { NodeTransport } from '../../src/node/transport/node-transport.ts';
import { lossyTransport } from './lossy-transport.ts';
import { recordingObserver } from './recording-observer.ts';
import type { MakeNode, NodePorts, SimulatedNode } from './world.ts';

/** What a run draws about its nodes, beside the faults. */
export interface ClusterSettings {
  readonly shardCapacityBytes: number;
  /** A follower that lags further behind needs a snapshot. */
  readonly logEntriesMax: number;
  /** Stores are drained: one that is empty in the end is removed, and its process must end. */
  readonly drains: boolean;
}

const CLUSTER_ID = 'simulated';
export const MAX_REPLICAS = 3;
/** The first nodes, as in the published set-up; further ones hold data only. */
const PROPHETS = 3;
/** As in the local cluster. */
const STORE_DOWN_AFTER_MS = 10_000;
const PREPARE_AFTER_MS = 10_000;
const DISK_BYTES = 2 ** 30;

/** Shards so small that a few keys split them. */
const SPLITTING_BYTES = [30, 60, 100];
const LARGE_BYTES = 2 ** 20;
const SHORT_LOGS = [4, 16, 64];
const LONG_LOG = 10_000;

export function drawSettings(random: Random): ClusterSettings {
  return {
    shardCapacityBytes: drawOne(random, SPLITTING_BYTES, LARGE_BYTES),
    logEntriesMax: drawOne(random, SHORT_LOGS, LONG_LOG),
    drains: chance(random, 1, 4),
  };
}

export function makeRealNode(settings: ClusterSettings): MakeNode {
  return (ports) => new RealNode(ports, settings);
}

class RealNode implements SimulatedNode {
  readonly kv: KvService;
  readonly #ports: NodePorts;
  readonly #settings: ClusterSettings;
  #node: Node | undefined;
  #isStarted = false;

  constructor(ports: NodePorts, settings: ClusterSettings) {
    this.#ports = ports;
    this.#settings = settings;
    this.kv = {
      get: (key, context) => this.#take((kv) => kv.get(key, context)),
      put: (request, context) => this.#take((kv) => kv.put(request, context)),
      delete: (request, context) => this.#take((kv) => kv.delete(request, context)),
      scan: (request, context) => this.#take((kv) => kv.scan(request, context)),
    };
  }

  async start(): Promise<void> {
    const { clock, engine, lossiness, name, wire } = this.#ports;
    const random = fork(this.#ports.random);
    const observer = recordingObserver(this.#ports);
    const transport = new NodeTransport({
      wire,
      clock,
      random: fork(random),
      observer,
      clusterId: CLUSTER_ID,
      listenAddress: name,
      address: name,
    });
    const node = await build(
      {
        clock,
        random: fork(random),
        observer,
        engine,
        transport: lossyTransport(transport, { clock, random: fork(random), lossiness }),
        diskSpace: async () => ({ capacityBytes: DISK_BYTES, freeBytes: DISK_BYTES }),
        onFatal: (error) => this.#end(error),
      },
      configOf(this.#ports, this.#settings),
    );
    this.#node = node;
    await node.start();
    this.#isStarted = true;
  }

  get admin(): AdminService | undefined {
    return this.#isStarted ? this.#node?.admin : undefined;
  }

  /** One that is still starting is ended on the spot. */
  async stop(): Promise<void> {
    if (this.#isStarted) await this.#node?.stop();
  }

  #end(error: unknown): void {
    const isRemoved = error instanceof MatrixError && error.code === 'STORE_REMOVED';
    if (isRemoved && this.#settings.drains) this.#ports.retire();
    else this.#ports.fail(error);
  }

  /** A paused process takes the call in when it goes on; before it has started nobody listens. */
  #take<Answer>(call: (kv: KvService) => Promise<Answer>): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#ports.clock.enter(() => {
        const kv = this.#isStarted ? this.#node?.kv : undefined;
        if (kv === undefined) reject(new MatrixError('UNAVAILABLE', 'The node is starting'));
        else call(kv).then(resolve, reject);
      });
    });
  }
}

function configOf({ name, names }: NodePorts, settings: ClusterSettings): NodeConfig {
  const prophets = names.slice(0, PROPHETS);
  return {
    name,
    clusterId: CLUSTER_ID,
    roles: { isProphet: prophets.includes(name), isData: true },
    advertise: name,
    httpAdvertise: `${name}:80`,
    prophetMembers: prophets.map((member) => ({ name: member, address: member })),
    maxReplicas: MAX_REPLICAS,
    bootstrapExpect: MAX_REPLICAS,
    shardCapacityBytes: settings.shardCapacityBytes,
    replicaLimits: { logEntriesMax: settings.logEntriesMax },
    storeDownAfterMs: STORE_DOWN_AFTER_MS,
    prepareAfterMs: PREPARE_AFTER_MS,
    labels: {},
    requestsMax: 8192,
    version: 'simulated',
  };
}

/** The usual in half of all runs, one of the unusual in the others. */
function drawOne(random: Random, unusual: readonly number[], usual: number): number {
  if (chance(random, 1, 2)) return usual;
  return unusual[random.below(unusual.length)] ?? usual;
}
