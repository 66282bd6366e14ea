// The machines of a run: each has a disk that survives, and processes that come and go. A crash kills
// the process in the middle of whatever it does; a restart builds the node anew on what the disk kept.

import { must } from '../../src/kernel/assert.ts';
import { between, fork, type Random } from '../../src/kernel/random.ts';
import type { AdminService, KvService } from '../../src/node/routing/services.ts';
import type { Engine } from '../../src/node/storage/engine.ts';
import { MemoryNetwork } from '../../src/node/transport/memory-wire.ts';
import type { Wire } from '../../src/node/transport/wire-port.ts';
import { CALM_NETWORK, describeFault, type Fault, NOTHING_LOST, type RunPlan } from './faults.ts';
import type { Lossiness } from './lossy-transport.ts';
import { processWire } from './process-wire.ts';
import type { Scheduler } from './scheduler.ts';
import { SimulatedClock } from './simulated-clock.ts';
import { SimulatedDisk } from './simulated-disk.ts';
import { SimulatedNetwork } from './simulated-network.ts';
import type { Endpoint, Target } from './workload.ts';

/** What a node is built from; everything in it dies with the process, but the disk's content. */
export interface NodePorts {
  /** Also its address in the network. */
  readonly name: string;
  readonly names: readonly string[];
  readonly clock: SimulatedClock;
  readonly random: Random;
  readonly engine: Engine;
  readonly wire: Wire;
  readonly lossiness: () => Lossiness;
  /** A line of the trace. A dead process says nothing more. */
  readonly record: (line: string) => void;
  /** Something happened that must never happen: fails the run, unless the process is dead already. */
  readonly fail: (error: unknown) => void;
  /** The node was taken out of the cluster for good: its process ends, and nobody starts it again. */
  readonly retire: () => void;
}

/** One process. */
export interface SimulatedNode {
  readonly kv: KvService;
  /** Undefined as long as nobody listens. */
  readonly admin?: AdminService | undefined;
  start(): Promise<void>;
  /** Ends in good order; the process is gone when this resolves. A crash when left out. */
  stop?(): Promise<void>;
}

/** Looks at what lies on the disks. */
export type MayLose = (disks: ReadonlyMap<string, Engine>) => boolean;

export type MakeNode = (ports: NodePorts) => SimulatedNode;

export interface WorldOptions {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly names: readonly string[];
  readonly plan: RunPlan;
  readonly makeNode: MakeNode;
  /** Whether the cluster has come so far that a machine may be lost for good: asked at that moment. */
  readonly mayLose?: MayLose | undefined;
}

interface Machine {
  readonly name: string;
  readonly disk: SimulatedDisk;
  readonly driftPpm: number;
  process: { readonly node: SimulatedNode; readonly clock: SimulatedClock } | undefined;
  isLost: boolean;
}

export class World {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #makeNode: MakeNode;
  readonly #mayLose: MayLose;
  readonly #machines: ReadonlyMap<string, Machine>;
  readonly #network: SimulatedNetwork;
  readonly #wires: MemoryNetwork;
  readonly #wallErrorMsMax: number;
  #lossiness: Lossiness;
  /** Grows when everything is healed, so that what was planned for an earlier end does nothing. */
  #healings = 0;

  constructor({ scheduler, random, names, plan, makeNode, mayLose }: WorldOptions) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#makeNode = makeNode;
    this.#mayLose = mayLose ?? ((): boolean => true);
    this.#lossiness = plan.lossiness;
    this.#wallErrorMsMax = plan.wallErrorMsMax;
    this.#network = new SimulatedNetwork({
      random: fork(random),
      now: () => scheduler.now(),
      quality: plan.network,
    });
    this.#wires = new MemoryNetwork({
      clock: new SimulatedClock({ scheduler }),
      policy: (path) => this.#network.deliveryOf(path),
    });
    this.#machines = new Map(
      names.map((name, index) => {
        const disk = new SimulatedDisk({ random: fork(random), speed: plan.disk });
        const driftPpm = plan.driftsPpm[index] ?? 0;
        return [name, { name, disk, driftPpm, process: undefined, isLost: false }];
      }),
    );
    for (const { atMs, fault } of plan.faults) {
      scheduler.after(atMs - scheduler.now(), () => this.#inject(fault));
    }
  }

  start(): void {
    for (const machine of this.#machines.values()) this.#startProcess(machine);
  }

  targets(): readonly Target[] {
    return [...this.#machines.values()].map((machine) => ({
      name: machine.name,
      isLost: () => machine.isLost,
      endpoint: () => endpointOf(machine),
    }));
  }

  /** What lies on each disk at this moment, to look at: writing to it changes nothing. */
  disks(): ReadonlyMap<string, Engine> {
    const machines = [...this.#machines.values()].filter(({ isLost }) => !isLost);
    return new Map(machines.map(({ name, disk }) => [name, disk.copy()]));
  }

  /** Ends all faults: everyone runs, everyone hears everyone, nothing is lost any more. */
  heal(): void {
    this.#healings += 1;
    this.#scheduler.record('heal');
    this.#network.heal();
    this.#network.setQuality(CALM_NETWORK);
    this.#lossiness = NOTHING_LOST;
    for (const machine of this.#machines.values()) {
      machine.disk.endStall();
      machine.process?.clock.resume();
      this.#startProcess(machine);
    }
  }

  #inject(fault: Fault): void {
    if (this.#healings > 0) return;
    this.#scheduler.record(describeFault(fault));
    switch (fault.type) {
      case 'crash':
        this.#crashFor(this.#machine(fault.node), fault.downMs);
        break;
      case 'crash-in-write':
        this.#crashInWrite(this.#machine(fault.node), fault.downMs);
        break;
      case 'blackout':
        for (const machine of this.#machines.values()) this.#crashInWrite(machine, fault.downMs);
        break;
      case 'stop':
        this.#stop(this.#machine(fault.node), fault.downMs);
        break;
      case 'lose':
        if (this.#mayLose(this.disks())) this.#lose(this.#machine(fault.node));
        break;
      case 'pause':
        this.#pause(this.#machine(fault.node), fault.forMs);
        break;
      case 'stall-disk':
        this.#machine(fault.node).disk.stall(this.#scheduler.now() + fault.forMs);
        break;
      case 'partition':
        this.#partition(fault.nodes, fault.forMs);
        break;
      case 'one-way':
        this.#cut(fault, fault.forMs);
        break;
      case 'clog':
        this.#network.clog(fault, this.#scheduler.now() + fault.forMs);
        break;
    }
  }

  #crash(machine: Machine): void {
    const { process } = machine;
    if (process === undefined) return;
    machine.process = undefined;
    process.clock.kill();
    this.#scheduler.record(`${machine.name} died, its write: ${machine.disk.crash()}`);
    this.#wires.kill(machine.name);
  }

  #lose(machine: Machine): void {
    this.#crash(machine);
    machine.isLost = true;
  }

  /** The process is killed as soon as it has ended by itself: nothing of it goes on. */
  #stop(machine: Machine, downMs: number): void {
    const { process } = machine;
    if (process === undefined) return;
    const end = (): void => {
      if (machine.process !== process) return;
      this.#crash(machine);
      if (this.#healings > 0) this.#startProcess(machine);
      else this.#later(downMs, () => this.#startProcess(machine));
    };
    if (process.node.stop === undefined) end();
    else {
      process.node.stop().then(end, (error: unknown) => {
        if (!process.clock.isDead()) this.#scheduler.fail(error);
      });
    }
  }

  #crashFor(machine: Machine, downMs: number): void {
    this.#crash(machine);
    this.#later(downMs, () => this.#startProcess(machine));
  }

  #crashInWrite(machine: Machine, downMs: number): void {
    const healings = this.#healings;
    machine.disk.duringNextWrite(() => {
      if (healings === this.#healings) this.#crashFor(machine, downMs);
    });
  }

  #startProcess(machine: Machine): void {
    if (machine.process !== undefined || machine.isLost) return;
    const { name, disk, driftPpm } = machine;
    this.#scheduler.record(`${name} starts`);
    const wallOffsetMs = between(this.#random, -this.#wallErrorMsMax, this.#wallErrorMsMax);
    const clock = new SimulatedClock({ scheduler: this.#scheduler, driftPpm, wallOffsetMs });
    const fail = (error: unknown): void => {
      if (!clock.isDead()) this.#scheduler.fail(error);
    };
    const node = this.#makeNode({
      name,
      names: [...this.#machines.keys()],
      clock,
      random: fork(this.#random),
      engine: disk.open(clock),
      wire: processWire(this.#wires.wire(name), clock),
      lossiness: () => this.#lossiness,
      record: (line) => {
        if (!clock.isDead()) this.#scheduler.record(`${name}: ${line}`);
      },
      fail,
      retire: () => {
        if (!clock.isDead()) this.#lose(machine);
      },
    });
    machine.process = { node, clock };
    node.start().catch(fail);
  }

  #pause(machine: Machine, forMs: number): void {
    const clock = machine.process?.clock;
    if (clock === undefined) return;
    clock.pause();
    this.#later(forMs, () => clock.resume());
  }

  #partition(side: readonly string[], forMs: number): void {
    for (const one of side) {
      for (const other of this.#machines.keys()) {
        if (side.includes(other)) continue;
        this.#cut({ from: one, to: other }, forMs);
        this.#cut({ from: other, to: one }, forMs);
      }
    }
  }

  #cut(path: { readonly from: string; readonly to: string }, forMs: number): void {
    this.#network.cut(path, this.#scheduler.now() + forMs);
  }

  #later(delayMs: number, action: () => void): void {
    const healings = this.#healings;
    this.#scheduler.after(delayMs, () => {
      if (healings === this.#healings) action();
    });
  }

  #machine(name: string): Machine {
    return must(this.#machines.get(name), `There is no machine ${name}`);
  }
}

function endpointOf({ process }: Machine): Endpoint | undefined {
  if (process === undefined) return undefined;
  const { kv, admin } = process.node;
  return { kv, admin, clock: process.clock };
}
