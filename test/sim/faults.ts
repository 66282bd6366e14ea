// What goes wrong in a run, as data drawn before the run begins: the plan can be printed, and a
// failing one can be cut down by hand. Each seed draws which kinds of faults it has and how often
// (swarm testing): a run with few kinds goes deeper than one with all of them at once.

import { must } from '../../src/kernel/assert.ts';
import { between, chance, type Random } from '../../src/kernel/random.ts';
import type { Lossiness } from './lossy-transport.ts';
import type { DiskSpeed } from './simulated-disk.ts';
import type { NetworkQuality } from './simulated-network.ts';

export type Fault =
  | { readonly type: 'crash'; readonly node: string; readonly downMs: number }
  /** A crash in the middle of the next write, which may be lost. */
  | { readonly type: 'crash-in-write'; readonly node: string; readonly downMs: number }
  /** The power fails: every machine dies in the middle of its next write. */
  | { readonly type: 'blackout'; readonly downMs: number }
  /** The process is asked to end, as by SIGTERM, and may take its time. */
  | { readonly type: 'stop'; readonly node: string; readonly downMs: number }
  /** The machine is gone for good, with its disk. */
  | { readonly type: 'lose'; readonly node: string }
  /** The process stands still, as after SIGSTOP, and goes on. */
  | { readonly type: 'pause'; readonly node: string; readonly forMs: number }
  | { readonly type: 'stall-disk'; readonly node: string; readonly forMs: number }
  /** These nodes and the others no longer hear each other. */
  | { readonly type: 'partition'; readonly nodes: readonly string[]; readonly forMs: number }
  | { readonly type: 'one-way'; readonly from: string; readonly to: string; readonly forMs: number }
  | { readonly type: 'clog'; readonly from: string; readonly to: string; readonly forMs: number };

export interface PlannedFault {
  readonly atMs: number;
  readonly fault: Fault;
}

/** Everything about a run that is drawn before it begins. */
export interface RunPlan {
  readonly faults: readonly PlannedFault[];
  readonly disk: DiskSpeed;
  readonly network: NetworkQuality;
  readonly lossiness: Lossiness;
  /** Parts per million by node, in the order of the nodes. */
  readonly driftsPpm: readonly number[];
  /** A process that starts has a wall clock that is wrong by up to so much, either way. */
  readonly wallErrorMsMax: number;
}

/** What a run has once everything is healed. */
export const CALM_NETWORK: NetworkQuality = {
  latencyMicrosMin: 1_000,
  latencyMicrosMax: 2_000,
  slowPerMille: 0,
  breaksPer10000: 0,
};

export const NOTHING_LOST: Lossiness = {
  lostPerMille: 0,
  repeatedPerMille: 0,
  delayedPerMille: 0,
  delayMsMax: 0,
};

/** What can happen to a node without a network. */
const KINDS_ALONE = ['crash', 'crash-in-write', 'blackout', 'stop', 'pause', 'stall-disk'] as const;
const KINDS = [...KINDS_ALONE, 'partition', 'one-way', 'clog'] as const;
type Kind = (typeof KINDS)[number];

/** The longest that one fault lasts: several election time-outs. */
const FAULT_MS_MAX = 6_000;
/** Faults begin at least so much later than those before, on average four times as much. */
const FAULT_GAP_MS_MIN = 100;
const FAULT_GAP_MS_MAX = 4_000;
const DRIFT_PPM_MAX = 5_000;
const WALL_ERROR_MS_MAX = 3_600_000;

export interface PlanOptions {
  readonly random: Random;
  readonly nodes: readonly string[];
  /** Faults begin in this span of simulated time. */
  readonly fromMs: number;
  readonly untilMs: number;
  /** Whether one of the machines may be lost for good. */
  readonly mayLose: boolean;
}

export function drawPlan(options: PlanOptions): RunPlan {
  const { random, nodes } = options;
  return {
    faults: [...drawFaults(options), ...drawLoss(options)],
    disk: {
      writeMicrosMin: 100,
      writeMicrosMax: between(random, 1_000, 10_000),
      slowPerMille: drawRate(random, 10),
    },
    network: {
      latencyMicrosMin: 200,
      latencyMicrosMax: between(random, 1_000, 40_000),
      slowPerMille: drawRate(random, 50),
      breaksPer10000: drawRate(random, 30),
    },
    lossiness: {
      lostPerMille: drawRate(random, 150),
      repeatedPerMille: drawRate(random, 100),
      delayedPerMille: drawRate(random, 150),
      delayMsMax: between(random, 10, 2_000),
    },
    driftsPpm: nodes.map(() => between(random, -DRIFT_PPM_MAX, DRIFT_PPM_MAX)),
    wallErrorMsMax: drawRate(random, WALL_ERROR_MS_MAX),
  };
}

export function describeFault(fault: Fault): string {
  switch (fault.type) {
    case 'crash':
    case 'crash-in-write':
    case 'stop':
      return `${fault.type} ${fault.node} for ${fault.downMs} ms`;
    case 'blackout':
      return `blackout for ${fault.downMs} ms`;
    case 'lose':
      return `lose ${fault.node}`;
    case 'pause':
    case 'stall-disk':
      return `${fault.type} ${fault.node} for ${fault.forMs} ms`;
    case 'partition':
      return `partition [${fault.nodes.join(' ')}] for ${fault.forMs} ms`;
    case 'one-way':
    case 'clog':
      return `${fault.type} ${fault.from} > ${fault.to} for ${fault.forMs} ms`;
  }
}

export function describePlan(plan: RunPlan): string {
  const { faults, ...rates } = plan;
  const lines = faults.map(({ atMs, fault }) => `  ${atMs} ms: ${describeFault(fault)}`);
  return [JSON.stringify(rates), ...lines].join('\n');
}

function drawFaults({ random, nodes, fromMs, untilMs }: PlanOptions): readonly PlannedFault[] {
  const possible = nodes.length > 1 ? KINDS : KINDS_ALONE;
  const kinds = possible.filter(() => chance(random, 1, 2));
  if (kinds.length === 0) return [];
  const gapMsMax = between(random, FAULT_GAP_MS_MIN, FAULT_GAP_MS_MAX);
  const faults: PlannedFault[] = [];
  let atMs = fromMs + between(random, FAULT_GAP_MS_MIN, FAULT_GAP_MS_MIN + gapMsMax);
  while (atMs < untilMs) {
    const kind = must(kinds[random.below(kinds.length)], 'The index is in range');
    faults.push({ atMs, fault: drawFault({ random, nodes, kind }) });
    atMs += between(random, FAULT_GAP_MS_MIN, FAULT_GAP_MS_MIN + gapMsMax);
  }
  return faults;
}

function drawLoss({ random, nodes, fromMs, untilMs, mayLose }: PlanOptions): PlannedFault[] {
  if (!mayLose || chance(random, 1, 2)) return [];
  const node = must(nodes[random.below(nodes.length)], 'The index is in range');
  return [{ atMs: between(random, fromMs, untilMs - 1), fault: { type: 'lose', node } }];
}

function drawFault(options: {
  readonly random: Random;
  readonly nodes: readonly string[];
  readonly kind: Kind;
}): Fault {
  const { random, nodes, kind } = options;
  const [node, other] = drawPair(random, nodes);
  const forMs = between(random, 50, FAULT_MS_MAX);
  switch (kind) {
    case 'crash':
    case 'crash-in-write':
    case 'stop':
      return { type: kind, node, downMs: forMs };
    case 'blackout':
      return { type: kind, downMs: forMs };
    case 'pause':
    case 'stall-disk':
      return { type: kind, node, forMs };
    case 'partition':
      return { type: kind, nodes: nodes.filter(() => chance(random, 1, 2)), forMs };
    case 'one-way':
    case 'clog':
      return { type: kind, from: node, to: other, forMs };
  }
}

/** Two different nodes, where there are two. */
function drawPair(random: Random, nodes: readonly string[]): readonly [string, string] {
  const at = random.below(nodes.length);
  const otherAt = (at + between(random, 1, Math.max(1, nodes.length - 1))) % nodes.length;
  return [must(nodes[at], 'In range'), must(nodes[otherAt], 'In range')];
}

/** Zero in half of all runs. */
function drawRate(random: Random, max: number): number {
  return chance(random, 1, 2) ? 0 : between(random, 1, max);
}
