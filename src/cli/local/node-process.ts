// One node as a child process. It writes to its own log file and holds the read end of a pipe: when the
// supervisor is gone, however it went, the pipe closes and the node stops itself.

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { getCompileCacheDir } from 'node:module';
import { fileURLToPath } from 'node:url';
import { NODE_EXIT_CODES } from '../../kernel/node-exit-codes.ts';
import { CliError } from '../exit-codes.ts';
import { type LocalCluster, type LocalNode, reasonOf, rolesOf } from './cluster-file.ts';
import { dataDirectoryOf, logFileOf } from './directory.ts';
import { lastWords, logSize } from './last-words.ts';
import { LOCAL_HOST } from './ports.ts';

const MAX_REPLICAS = 3;
/** As the published demo: a killed node's replicas move after seconds, not minutes. */
const STORE_DOWN_AFTER = '10s';
const PREPARE_AFTER = '10s';

/** Room for young objects, in MiB: the default lets an idle node grow by some 20 MB more. */
const NODE_OPTIONS = ['--max-semi-space-size=4'];

/** The program that a node runs. */
export const NODE_PROGRAM = fileURLToPath(new URL('../../node/main.ts', import.meta.url));

export interface NodeExit {
  readonly code: number | undefined;
  readonly signal: string | undefined;
  /** What it said last: the reason, when there is one. */
  readonly reason: string;
  /** True when the supervisor had asked it to stop. */
  readonly isWanted: boolean;
}

export interface NodeProcessOptions {
  readonly cluster: LocalCluster;
  readonly node: LocalNode;
  readonly directory: string;
  readonly program: string;
}

function nodeFlags({ cluster, node, directory }: Omit<NodeProcessOptions, 'program'>): string[] {
  const prophets = cluster.nodes.filter(({ isProphet }) => isProphet);
  const members = prophets.map(({ name, peerPort }) => `${name}=${LOCAL_HOST}:${peerPort}`);
  const flags: Readonly<Record<string, string>> = {
    name: node.name,
    'data-dir': dataDirectoryOf(directory, node.name),
    'cluster-id': cluster.clusterId,
    roles: rolesOf(node),
    listen: `${LOCAL_HOST}:${node.peerPort}`,
    http: `${LOCAL_HOST}:${node.httpPort}`,
    'initial-prophet': members.join(','),
    'max-replicas': String(Math.min(MAX_REPLICAS, cluster.nodes.length)),
    'shard-capacity': String(cluster.shardCapacityBytes),
    'store-down-after': STORE_DOWN_AFTER,
    'prepare-after': PREPARE_AFTER,
    'log-format': 'json',
  };
  const pairs = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
  return [...pairs, '--exit-with-parent'];
}

export class NodeProcess {
  readonly #child: ChildProcess;
  #isStopWanted = false;
  /** Resolves once the process is gone; never rejects. */
  readonly exited: Promise<NodeExit>;

  constructor(options: NodeProcessOptions) {
    const logFile = logFileOf(options.directory, options.node.name);
    const logStart = logSize(logFile);
    const log = openLog(logFile);
    this.#child = spawn(
      process.execPath,
      [...NODE_OPTIONS, options.program, ...nodeFlags(options)],
      {
        stdio: ['pipe', log, log],
        env: { ...withoutOwnVariables(process.env), ...compileCache() },
      },
    );
    closeSync(log);
    // The node may be gone before the pipe is closed; its exit says all there is to say.
    this.#child.stdin?.on('error', () => {});
    this.exited = new Promise((resolve) => {
      const finish = (exit: Pick<NodeExit, 'code' | 'signal'>, reason?: string): void => {
        const said = reason ?? lastWords(logFile, logStart);
        resolve({ ...exit, reason: said, isWanted: this.#isStopWanted });
      };
      this.#child.once('exit', (code, signal) => {
        finish({ code: code ?? undefined, signal: signal ?? undefined });
      });
      this.#child.once('error', (error) => {
        if (this.#child.pid !== undefined) return;
        finish({ code: undefined, signal: undefined }, `Cannot start it: ${error.message}`);
      });
    });
  }

  /** Undefined when it could not be started at all. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Ends it without asking. */
  kill(): void {
    this.#isStopWanted = true;
    this.#child.kill('SIGKILL');
  }

  /** Asks it to stop, and ends it when it has not stopped after `graceMs`; 0 asks nothing. */
  async stop(graceMs: number): Promise<NodeExit> {
    this.#isStopWanted = true;
    this.#child.kill(graceMs === 0 ? 'SIGKILL' : 'SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), graceMs);
    const exit = await this.exited;
    clearTimeout(timer);
    return exit;
  }
}

/**
 * The cluster has removed its store for good: the node ends whenever it is started with this disk. A
 * member of Prophet goes on without its store, so its exit never says this.
 */
export function isDrained({ isProphet }: Pick<LocalNode, 'isProphet'>, exit: NodeExit): boolean {
  return !isProphet && exit.code === NODE_EXIT_CODES.storeRemoved;
}

/** For people: why a node is gone. */
export function describeExit(exit: NodeExit): string {
  const how =
    exit.signal === undefined
      ? `ended with exit code ${exit.code ?? 'unknown'}`
      : `was ended by ${exit.signal}`;
  return exit.reason === '' || exit.code === 0 ? how : `${how}: ${exit.reason}`;
}

function openLog(path: string): number {
  try {
    return openSync(path, 'a');
  } catch (error) {
    throw new CliError('failed', `Cannot write the log ${path}: ${reasonOf(error)}`);
  }
}

/** What is set for another node must not change these. */
function withoutOwnVariables(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(environment).filter(([name]) => !name.startsWith('MATRIXKV_')),
  );
}

/** The nodes share the cache of compiled code that this command uses. */
function compileCache(): { readonly NODE_COMPILE_CACHE?: string } {
  const directory = getCompileCacheDir();
  return directory === undefined ? {} : { NODE_COMPILE_CACHE: directory };
}
