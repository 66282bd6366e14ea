// The supervisor with real processes: a small program stands for the node, it listens, answers and ends
// as the node's contract says.

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { CliError } from '../exit-codes.ts';
import { isObject } from '../json-reader.ts';
import type { Terminal } from '../terminal.ts';
import { planCluster, readCluster, writeCluster } from './cluster-file.ts';
import { askControl } from './control-channel.ts';
import { runLocal } from './local-run.ts';
import { isAlive, readRunState } from './run-file.ts';

const NODE_PROGRAM = `
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
const flag = (name) => process.argv[process.argv.indexOf('--' + name) + 1];
if (flag('shard-capacity') === '666') {
  console.error('The data directory belongs to the cluster other');
  process.exit(1);
}
if (existsSync(flag('data-dir') + '/drained')) {
  console.error('Store 4 was drained');
  process.exit(3);
}
const [host, port] = flag('http').split(':');
const end = () => process.exit(0);
process.on('SIGTERM', end);
process.stdin.on('end', end).resume();
createServer((request, response) => {
  if (existsSync(new URL('unready', import.meta.url))) response.statusCode = 503;
  response.end(request.url === '/v1/cluster' ? '{"bootstrapped":true}' : 'readyz ok');
}).listen(Number(port), host);
`;

let directory = '';
let program = '';
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'matrixkv-test-'));
  program = join(directory, 'node.mjs');
  await writeFile(program, NODE_PROGRAM);
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

/** A port from which on a few are free, with those 1000 above. Others may take them: then a test fails loudly. */
async function freePort(): Promise<number> {
  const server = createServer();
  const port = await new Promise<number>((resolve) => {
    server.listen({ host: '127.0.0.1', port: 0 }, () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : 0);
    });
  });
  await new Promise((resolve) => server.close(resolve));
  return Math.min(port, 60_000);
}

interface Running {
  readonly path: string;
  readonly notes: string[];
  /** Resolves when the banner is out. */
  readonly ready: Promise<string>;
  readonly ended: Promise<void>;
  readonly interrupt: () => void;
}

async function run(options: { capacity?: number; port?: number } = {}): Promise<Running> {
  const path = join(directory, 'local');
  const notes: string[] = [];
  const stop = new AbortController();
  const banner = Promise.withResolvers<string>();
  const terminal: Terminal = {
    out: (data) => banner.resolve(String(data)),
    note: (line) => notes.push(line),
    readInput: async () => new Uint8Array(),
    isInteractive: false,
    strong: (text) => text,
  };
  const ended = runLocal(
    {
      directory: path,
      isReset: false,
      nodes: 2,
      port: options.port ?? (await freePort()),
      shardCapacityBytes: options.capacity,
    },
    {
      terminal,
      interrupts: { stop: stop.signal, force: new AbortController().signal, close: () => {} },
      program,
      startedAt: performance.now(),
    },
  );
  ended.catch(banner.reject);
  banner.promise.catch(() => {}); // A test that expects the failure waits for `ended`.
  return { path, notes, ready: banner.promise, ended, interrupt: () => stop.abort() };
}

test('runLocal() starts all nodes, tells where they are, and stops them without a trace', async () => {
  const { path, notes, ready, ended, interrupt } = await run();
  const banner = await ready;
  const cluster = await readCluster(path);
  const state = await readRunState(path);
  interrupt();
  await ended;
  for (const { name, httpPort } of cluster?.nodes ?? []) {
    assert.match(banner, new RegExp(`${name} +http://127.0.0.1:${httpPort} +prophet,data +\\d+`));
  }
  assert.match(banner, /npx mkv -e \S+ set greeting hello/);
  const pids = Object.values(state?.nodes ?? {});
  assert.equal(pids.length, 2);
  assert.deepEqual(pids.filter(isAlive), []);
  assert.equal(await readRunState(path), undefined);
  assert.match(notes.at(-1) ?? '', /^Stopped\. The data stays in /);
});

test('nodes are stopped, started, restarted and listed from outside', async () => {
  const { path, notes, ready, ended, interrupt } = await run();
  await ready;
  try {
    const ask = async (command: string, ...nodes: readonly string[]): Promise<string> => {
      const answer = await askControl(path, { command, nodes, force: nodes.includes('node0') });
      return String(answer?.['message'] ?? JSON.stringify(answer));
    };
    assert.match(await ask('stop', 'node1'), /^node1 \(pid \d+\) is stopped$/);
    assert.match(await ask('stop', 'node1'), /^node1 was not running$/);
    const listed = (await askControl(path, { command: 'status' }))?.['nodes'];
    assert.ok(Array.isArray(listed));
    assert.deepEqual(
      listed.map((node: unknown) => (isObject(node) ? node['state'] : '')),
      ['ready', 'stopped'],
    );
    assert.match(await ask('start', 'node1'), /^node1 \(pid \d+\) is ready after /);
    assert.match(await ask('start', 'node1'), /^node1 \(pid \d+\) was running$/);
    assert.match(await ask('restart', 'node0'), /^node0 \(pid \d+\) is ready after /);
    await assert.rejects(
      ask('start', 'node1', 'node7'),
      /There is no node node7 here: use one of node0/,
    );
  } finally {
    interrupt();
    await ended;
  }
  assert.ok(notes.some((note) => /^node1 is stopped\. Start it again: npx mkv local/.test(note)));
});

test('many nodes are ordered at once, and without a name all of them', async () => {
  const { path, ready, ended } = await run();
  await ready;
  const ask = async (command: string, ...nodes: readonly string[]): Promise<string[]> => {
    const answer = await askControl(path, { command, nodes });
    return String(answer?.['message']).split('\n');
  };
  const both = (how: string): RegExp => new RegExp(`^node0 ${how}.*\nnode1 ${how}.*$`);
  try {
    assert.deepEqual(await ask('start'), ['All nodes were running']);
    const stopped = await ask('stop', 'node0', 'node1', 'node0');
    assert.match(stopped.join('\n'), both('\\(pid \\d+\\) is stopped'));
    assert.match((await ask('start')).join('\n'), both('\\(pid \\d+\\) is ready'));
    assert.match((await ask('restart')).join('\n'), both('\\(pid \\d+\\) is ready'));
    assert.deepEqual(await ask('start'), ['All nodes were running']);
    await ask('stop', 'node1');
    const [first, second] = await ask('start', 'node0', 'node1');
    assert.match(first ?? '', /^node0 .* was running$/);
    assert.match(second ?? '', /^node1 .* is ready/);
  } finally {
    await askControl(path, { command: 'shutdown', force: true });
    await ended;
  }
});

test('a node without a majority of Prophet runs, and says for whom it waits', async () => {
  const { path, ready, ended, interrupt } = await run();
  await ready;
  try {
    await askControl(path, { command: 'stop', nodes: ['node0', 'node1'] });
    await writeFile(join(directory, 'unready'), '');
    const alone = await askControl(path, { command: 'start', nodes: ['node1'] });
    assert.match(
      String(alone?.['message']),
      /^node1 \(pid \d+\) runs and waits for a majority of node0, node1, as node0 is stopped\. Start all: npx mkv local start --dir /,
    );
    assert.match(JSON.stringify(alone?.['nodes']), /"name":"node1","pid":\d+,"state":"not ready"/);
    await rm(join(directory, 'unready'));
    const rest = await askControl(path, { command: 'start', nodes: [] });
    assert.match(String(rest?.['message']), /^node0 \(pid \d+\) is ready after .*$/);
  } finally {
    interrupt();
    await ended;
  }
});

test('a node that is killed is reported and does not end the others', async () => {
  const { path, notes, ready, ended } = await run();
  await ready;
  const state = await readRunState(path);
  process.kill(state?.nodes['node1'] ?? 0, 'SIGKILL');
  // The supervisor has seen the exit when the node can be started again.
  let answer = '';
  while (!answer.includes('is ready')) {
    answer = String((await askControl(path, { command: 'start', nodes: ['node1'] }))?.['message']);
  }
  await askControl(path, { command: 'shutdown' });
  await ended;
  assert.ok(notes.some((note) => note.startsWith('node1 was ended by SIGKILL. Start it again: ')));
});

test('a node that refuses to start ends the start, with its own sentence', async () => {
  const { path, ended } = await run({ capacity: 666 });
  await assert.rejects(ended, (error: unknown) => {
    assert.ok(error instanceof CliError);
    assert.equal(error.exitCode, 5);
    assert.match(error.message, /could not start: The data directory belongs to the cluster other/);
    return true;
  });
  assert.equal(await readRunState(path), undefined);
});

/** node0 with both roles, and node1 with data alone, which the cluster has removed for good. */
async function drainNode1(): Promise<string> {
  const path = join(directory, 'local');
  await mkdir(join(path, 'node1'), { recursive: true });
  await writeFile(join(path, 'node1', 'drained'), '');
  await writeCluster(path, planCluster({ nodes: 2 }, planCluster({ nodes: 1 }, undefined)));
  return path;
}

test('a drained node keeps no other from starting, and the way back is told', async () => {
  const path = await drainNode1();
  const { notes, ready, ended, interrupt } = await run();
  try {
    assert.match(await ready, /node1 .* data +drained\n/);
    const line = notes.find((note) => note.startsWith('node1 was drained and removed for good'));
    assert.match(
      line ?? '',
      /as a new, empty store with `npx mkv local start node1 --fresh --dir \S+`$/,
    );
    const listed = JSON.stringify(await askControl(path, { command: 'status' }));
    assert.match(listed, /"name":"node1","state":"drained"/);
    const all = await askControl(path, { command: 'start' });
    assert.equal(all?.['message'], 'All nodes were running');
    const named = askControl(path, { command: 'start', nodes: ['node1'] });
    await assert.rejects(named, /^CliError: node1 was drained and removed for good/);
  } finally {
    interrupt();
    await ended;
  }
  assert.ok(notes.every((note) => !note.includes('Start it again')));
});

test('start --fresh empties a drained node, and no other', async () => {
  const path = await drainNode1();
  const { ready, ended, interrupt } = await run();
  await ready;
  const fresh = async (...nodes: readonly string[]): Promise<string> =>
    String((await askControl(path, { command: 'start', nodes, fresh: true }))?.['message']);
  try {
    await assert.rejects(fresh(), /name the one node/);
    await assert.rejects(fresh('node0', 'node1'), /name the one node/);
    await assert.rejects(fresh('node0'), /node0 is a member of Prophet and must keep its disk/);
    assert.match(await fresh('node1'), /^node1 \(pid \d+\) is ready/);
    assert.deepEqual(
      (await readdir(path)).filter((name) => name.startsWith('node1')),
      ['node1.log'],
    );
    await mkdir(join(path, 'node1'));
    await assert.rejects(fresh('node1'), /node1 runs: /);
    await askControl(path, { command: 'stop', nodes: ['node1'] });
    await assert.rejects(fresh('node1'), /node1 is not known to be drained, so its data is kept/);
    assert.ok((await readdir(path)).includes('node1'));
  } finally {
    interrupt();
    await ended;
  }
});

test('a second start in the same directory is refused and leaves the first alone', async () => {
  const first = await run();
  await first.ready;
  const second = await run();
  await assert.rejects(second.ended, /A local cluster runs in .* already/);
  const answer = await askControl(first.path, { command: 'status' });
  assert.ok(answer !== undefined);
  first.interrupt();
  await first.ended;
});

test('of two starts at the same instant one runs and the other is refused', async () => {
  const both = await Promise.all([run(), run()]);
  const [first, second] = await Promise.allSettled(both.map(({ ready }) => ready));
  const states = [first?.status, second?.status].sort();
  assert.deepEqual(states, ['fulfilled', 'rejected']);
  const winner = both[first?.status === 'fulfilled' ? 0 : 1];
  const loser = both[first?.status === 'fulfilled' ? 1 : 0];
  await assert.rejects(loser?.ended ?? Promise.resolve(), /A local cluster runs in .* already/);
  const answer = await askControl(join(directory, 'local'), { command: 'status' });
  assert.equal(answer?.['supervisorPid'], process.pid);
  winner?.interrupt();
  await winner?.ended;
  assert.ok(!(await readdir(join(directory, 'local'))).includes('supervisor.lock'));
});
