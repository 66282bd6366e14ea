// Clients that read, write, delete and compare-and-set a few keys through random nodes, while nodes
// die. Everything they asked and heard goes into one history, for the judge of linearizability.

import { performance } from 'node:perf_hooks';
import { must } from '../../src/kernel/assert.ts';
import { between, chance, fork, type Random } from '../../src/kernel/random.ts';
import type { Precondition } from '../../src/node/shard/kv-types.ts';
import { type Action, History, type Result } from '../sim/history.ts';
import { performCall } from './recorded-call.ts';
import { pause } from './until.ts';

export interface RecordedClientsOptions {
  /** HTTP addresses of the nodes. */
  readonly nodes: readonly string[];
  readonly random: Random;
  readonly clients: number;
  readonly keys: number;
  /** Longest pause of a client between two calls. */
  readonly pauseMsMax: number;
  readonly valueBytes: number;
}

const TIMEOUT_MS_MIN = 300;
const TIMEOUT_MS_MAX = 5_000;
/** A client that was refused takes a breath: what is down stays down for a moment. */
const RETRY_MS = 50;

export class RecordedClients {
  readonly history = new History(() => performance.now());
  readonly #options: RecordedClientsOptions;
  readonly #endings = { ok: 0, fail: 0, unknown: 0 };
  #processes = 0;
  #values = 0;
  #isStopped = false;
  #done: Promise<unknown> = Promise.resolve();

  constructor(options: RecordedClientsOptions) {
    this.#options = options;
  }

  /** How many calls ended how. */
  get endings(): { readonly ok: number; readonly fail: number; readonly unknown: number } {
    return this.#endings;
  }

  start(): void {
    const { clients, random } = this.#options;
    this.#done = Promise.all(Array.from({ length: clients }, () => this.#run(fork(random))));
    this.#done.catch(() => {}); // `stop` tells it.
  }

  /** Resolves when each client has its last answer; rejects when one was no proper answer. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#done;
  }

  async #run(random: Random): Promise<void> {
    const { nodes, keys, pauseMsMax } = this.#options;
    const versions = new Map<string, number>();
    let process = this.#takeProcess();
    while (!this.#isStopped) {
      await pause(between(random, 0, pauseMsMax));
      const node = must(nodes[random.below(nodes.length)], 'The index is in range');
      const key = `key-${String(random.below(keys)).padStart(3, '0')}`;
      const action = this.#drawAction(random, versions.get(key));
      const timeoutMs = between(random, TIMEOUT_MS_MIN, TIMEOUT_MS_MAX);
      const id = this.history.begin({ process, key, action });
      const ending = await performCall({ node, key, action, timeoutMs });
      this.history.end(id, ending);
      this.#endings[ending.type] += 1;
      if (ending.type === 'ok') versions.set(key, versionIn(ending.result));
      else await pause(RETRY_MS);
      if (ending.type === 'unknown') process = this.#takeProcess();
    }
  }

  #drawAction(random: Random, version: number | undefined): Action {
    const kind = random.below(10);
    if (kind < 4) return { type: 'get' };
    const precondition = drawPrecondition(random, version);
    const condition = precondition === undefined ? {} : { precondition };
    if (kind === 4) return { type: 'delete', ...condition };
    this.#values += 1;
    const value = `v${this.#values}`.padEnd(this.#options.valueBytes, '.');
    return { type: 'put', value, ...condition };
  }

  #takeProcess(): number {
    this.#processes += 1;
    return this.#processes;
  }
}

function drawPrecondition(random: Random, version = 0): Precondition | undefined {
  if (version > 0 && chance(random, 1, 2)) return { type: 'version', version };
  const kind = random.below(4);
  if (kind === 0) return { type: 'absent' };
  return kind === 1 ? { type: 'present' } : undefined;
}

/** 0 when the key is absent, as far as the answer tells. */
function versionIn(result: Result): number {
  return result.type === 'absent' ? 0 : result.version;
}
