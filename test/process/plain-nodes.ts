// Nodes started one by one with the flags of the node program, without a supervisor: in any order, with
// other options than the local cluster has.

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assert, must } from '../../src/kernel/assert.ts';
import { findFreePorts } from './free-ports.ts';
import { call } from './http-calls.ts';
import { type Ended, type Started, startProgram } from './started-processes.ts';
import { makeDirectory, removeDirectory } from './temporary-directory.ts';
import { until } from './until.ts';

const NODE_PROGRAM = fileURLToPath(new URL('../../src/node/main.ts', import.meta.url));
const PEER_OFFSET = 1_000;
const PROPHETS_MAX = 3;

export interface PlainOptions {
  readonly nodes: number;
  /** Beside those that every node needs. */
  readonly flags?: readonly string[];
}

export class PlainNodes {
  readonly directory: string;
  readonly #port: number;
  readonly #options: PlainOptions;
  readonly #running: (Started | undefined)[];

  private constructor(place: { directory: string; port: number }, options: PlainOptions) {
    this.directory = place.directory;
    this.#port = place.port;
    this.#options = options;
    this.#running = Array.from({ length: options.nodes }, () => undefined);
  }

  /** Nothing runs yet. */
  static async prepare(options: PlainOptions): Promise<PlainNodes> {
    const [directory, port] = await Promise.all([makeDirectory(), findFreePorts(options.nodes)]);
    return new PlainNodes({ directory, port }, options);
  }

  get count(): number {
    return this.#options.nodes;
  }

  url(index: number): string {
    return `http://127.0.0.1:${this.#port + index}`;
  }

  urls(): readonly string[] {
    return this.#running.map((_, index) => this.url(index));
  }

  dataDirectory(index: number): string {
    return join(this.directory, `node${index}`);
  }

  isRunning(index: number): boolean {
    return this.#running[index]?.isRunning() === true;
  }

  /** What the node's present or last process wrote. */
  output(index: number): string {
    return this.#running[index]?.output() ?? '';
  }

  /** Later flags win over the usual ones. */
  async start(index: number, ...flags: readonly string[]): Promise<Started> {
    assert(!this.isRunning(index), `node${index} runs already`);
    await mkdir(this.dataDirectory(index), { recursive: true });
    const started = startProgram([NODE_PROGRAM, ...this.#flags(index), ...flags]);
    this.#running[index] = started;
    return started;
  }

  async kill(index: number): Promise<Ended> {
    return await this.#end(index, 'SIGKILL');
  }

  /** Asks it to stop. */
  async stop(index: number): Promise<Ended> {
    return await this.#end(index, 'SIGTERM');
  }

  /** Ready nodes serve; the time that it took. */
  async untilReady(indexes: readonly number[], withinMs: number): Promise<number> {
    const what = `${indexes.map((index) => `node${index}`).join(', ')} ready`;
    const took = await until({ what, withinMs }, async () => {
      if (!indexes.every((index) => this.isRunning(index))) return '';
      const problems = await Promise.all(indexes.map((index) => this.#problem(index, '/readyz')));
      return problems.filter((problem) => problem !== '').join('; ');
    });
    for (const index of indexes) this.#assertRuns(index);
    return took;
  }

  /** A living node answers, also when it cannot serve. */
  async untilAlive(index: number, withinMs: number): Promise<void> {
    await until({ what: `node${index} lives`, withinMs }, () =>
      this.isRunning(index) ? this.#problem(index, '/livez') : '',
    );
    this.#assertRuns(index);
  }

  /** Ends everything and removes the data. */
  async close(): Promise<void> {
    const running = this.#running.map((_, index) => index).filter((index) => this.isRunning(index));
    await Promise.all(running.map((index) => this.kill(index)));
    await removeDirectory(this.directory);
  }

  async #end(index: number, signal: NodeJS.Signals): Promise<Ended> {
    const started = must(this.#running[index], `node${index} was started`);
    started.signal(signal);
    return await started.ended;
  }

  async #problem(index: number, path: string): Promise<string> {
    const { status, body } = await call(`${this.url(index)}${path}`, { timeoutMs: 2_000 });
    return status === 200 ? '' : `node${index}: ${body}`;
  }

  #assertRuns(index: number): void {
    assert(this.isRunning(index), `node${index} has ended: ${this.output(index).slice(-2_000)}`);
  }

  #peer(index: number): string {
    return `127.0.0.1:${this.#port + PEER_OFFSET + index}`;
  }

  #flags(index: number): readonly string[] {
    const prophets = Math.min(PROPHETS_MAX, this.count);
    const members = Array.from({ length: prophets }, (_, at) => `node${at}=${this.#peer(at)}`);
    return [
      ...['--name', `node${index}`],
      ...['--data-dir', this.dataDirectory(index)],
      ...['--cluster-id', 'process-test'],
      ...['--roles', index < prophets ? 'prophet,data' : 'data'],
      ...['--listen', this.#peer(index)],
      ...['--http', this.url(index).replace('http://', '')],
      ...['--initial-prophet', members.join(',')],
      ...['--max-replicas', String(prophets)],
      ...['--log-format', 'json'],
      '--exit-with-parent',
      ...(this.#options.flags ?? []),
    ];
  }
}
