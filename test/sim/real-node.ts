// The real node on simulated ports: `build` of src/node/node.ts, with the transport that it has in
// production over a simulated wire. Nothing of the node itself is replaced.

import { MatrixError } from '../../src/kernel/errors.ts';
import { chance, fork, type Random, SeededRandom } from '../../src/kernel/random.ts';
import { build, type Node, type NodeConfig } from '../../src/node/node.ts';
import type { KvService } from '../../src/node/routing/services.ts';
import { NodeTransport } from '../../src/node/transport/node-transport.ts';
import { lossyTransport } from './lossy-transport.ts';
import { recordingObserver } from './recording-observer.ts';
import type { MakeNode, NodePorts, SimulatedNode } from './world.ts';

/** What a run draws about its nodes, beside the faults. */
export interface ClusterSettings {
  readonly shardCapacityBytes: number;
}

const CLUSTER_ID = 'simulated';
export const MAX_REPLICAS = 3;
/** As in the local cluster. */
const STORE_DOWN_AFTER_MS = 10_000;
const PREPARE_AFTER_MS = 10_000;
const DISK_BYTES = 2 ** 30;

/** Shards so small that a few keys split them. */
const SPLITTING_BYTES = [30, 60, 100];
const LARGE_BYTES = 2 ** 20;

export function drawSettings(seed: number): ClusterSettings {
  const random = new SeededRandom(seed);
  return { shardCapacityBytes: drawCapacity(random) };
}

export function makeRealNode(settings: ClusterSettings): MakeNode {
  return (ports) => new RealNode(ports, settings);
}

class RealNode implements SimulatedNode {
  readonly kv: KvService;
  readonly #ports: NodePorts;
  readonly #settings: ClusterSettings;
  #node: Node | undefined;

  constructor(ports: NodePorts, settings: ClusterSettings) {
    this.#ports = ports;
    this.#settings = settings;
    this.kv = {
      get: async (key, context) => this.#service().get(key, context),
      put: async (request, context) => this.#service().put(request, context),
      delete: async (request, context) => this.#service().delete(request, context),
      scan: async (request, context) => this.#service().scan(request, context),
    };
  }

  async start(): Promise<void> {
    const { clock, engine, fail, lossiness, name, wire } = this.#ports;
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
        onFatal: fail,
      },
      configOf(this.#ports, this.#settings),
    );
    this.#node = node;
    await node.start();
  }

  /** Before the node is built nobody listens. */
  #service(): KvService {
    if (this.#node === undefined) throw new MatrixError('UNAVAILABLE', 'The node is starting');
    return this.#node.kv;
  }
}

function configOf({ name, names }: NodePorts, settings: ClusterSettings): NodeConfig {
  return {
    name,
    clusterId: CLUSTER_ID,
    roles: { isProphet: true, isData: true },
    advertise: name,
    httpAdvertise: `${name}:80`,
    prophetMembers: names.map((member) => ({ name: member, address: member })),
    maxReplicas: MAX_REPLICAS,
    bootstrapExpect: MAX_REPLICAS,
    shardCapacityBytes: settings.shardCapacityBytes,
    storeDownAfterMs: STORE_DOWN_AFTER_MS,
    prepareAfterMs: PREPARE_AFTER_MS,
    labels: {},
    version: 'simulated',
  };
}

function drawCapacity(random: Random): number {
  if (chance(random, 1, 2)) return LARGE_BYTES;
  return SPLITTING_BYTES[random.below(SPLITTING_BYTES.length)] ?? LARGE_BYTES;
}
