import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { CliError } from '../exit-codes.ts';
import { planCluster, readCluster, writeCluster } from './cluster-file.ts';
import { askControl, isRunning, openControl, socketPathsOf } from './control-channel.ts';
import {
  claimDirectory,
  dataDirectoryOf,
  deleteData,
  logFileOf,
  resetDirectory,
} from './directory.ts';
import { listenForInterrupts } from './interrupts.ts';
import { lastWords, logSize } from './last-words.ts';
import { checkPorts } from './ports.ts';

let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'matrixkv-test-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

function refusedWith(exitCode: number, pattern: RegExp) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof CliError);
    assert.match(error.message, pattern);
    assert.equal(error.exitCode, exitCode);
    return true;
  };
}

test('planCluster() makes the published set-up: three nodes with both roles, one with data only', () => {
  const { nodes, shardCapacityBytes } = planCluster({}, undefined);
  assert.deepEqual(
    nodes.map(({ name, httpPort, peerPort, isProphet }) => [name, httpPort, peerPort, isProphet]),
    [
      ['node0', 8080, 9080, true],
      ['node1', 8081, 9081, true],
      ['node2', 8082, 9082, true],
      ['node3', 8083, 9083, false],
    ],
  );
  assert.equal(shardCapacityBytes, 64 * 2 ** 20);
});

test('planCluster() keeps an existing cluster, and changes ports and capacity', () => {
  const first = planCluster({ nodes: 2 }, undefined);
  const second = planCluster({ port: 9000, shardCapacityBytes: 1024 }, first);
  assert.equal(second.clusterId, first.clusterId);
  assert.equal(second.shardCapacityBytes, 1024);
  assert.deepEqual(
    second.nodes.map(({ httpPort, peerPort }) => [httpPort, peerPort]),
    [
      [9000, 10000],
      [9001, 10001],
    ],
  );
  assert.notEqual(planCluster({}, undefined).clusterId, planCluster({}, undefined).clusterId);
});

test('planCluster() grows by nodes with data only, and refuses to shrink', () => {
  const first = planCluster({ nodes: 1 }, undefined);
  const grown = planCluster({ nodes: 4 }, first);
  assert.deepEqual(
    grown.nodes.map(({ isProphet }) => isProphet),
    [true, false, false, false],
  );
  assert.throws(() => planCluster({ nodes: 3 }, grown), refusedWith(2, /has 4 nodes/));
  assert.throws(() => planCluster({ port: 64_600 }, grown), refusedWith(2, /too high/));
});

test('cluster.json is read as it was written, and refused when it is something else', async () => {
  const cluster = planCluster({ nodes: 3, port: 7000 }, undefined);
  await writeCluster(directory, cluster);
  assert.deepEqual(await readCluster(directory), cluster);
  for (const text of ['', '[]', '{"format":2}', '{"format":1,"nodes":[{"name":"../x"}]}']) {
    await writeFile(join(directory, 'cluster.json'), text);
    await assert.rejects(readCluster(directory), refusedWith(5, /not the description/), text);
  }
});

test('claimDirectory() makes a missing directory with its parents and leaves nothing in it', async () => {
  const path = join(directory, 'a', 'b');
  assert.equal(await claimDirectory(path), undefined);
  assert.deepEqual(await readdir(path), []);
});

test('claimDirectory() refuses what is no directory of ours and what cannot be written', async () => {
  await writeFile(join(directory, 'thesis.txt'), 'mine');
  await assert.rejects(claimDirectory(directory), refusedWith(5, /is no MatrixKV directory/));
  const file = join(directory, 'thesis.txt');
  await assert.rejects(claimDirectory(file), refusedWith(5, /Cannot use .* as a directory/));
  const below = join('/proc', 'matrixkv');
  await assert.rejects(claimDirectory(below), refusedWith(5, /Cannot write to the directory/));
});

test('resetDirectory() deletes the cluster and keeps everything that is not its own', async () => {
  const cluster = planCluster({ nodes: 1 }, undefined);
  await writeCluster(directory, cluster);
  await mkdir(dataDirectoryOf(directory, 'node0'));
  await writeFile(join(dataDirectoryOf(directory, 'node0'), 'CURRENT'), 'x');
  await writeFile(logFileOf(directory, 'node0'), 'x');
  await writeFile(join(directory, 'thesis.txt'), 'mine');
  await resetDirectory(directory);
  assert.deepEqual(await readdir(directory), ['thesis.txt']);
  await assert.rejects(resetDirectory(directory), refusedWith(5, /is no MatrixKV directory/));
  assert.equal(await readFile(join(directory, 'thesis.txt'), 'utf8'), 'mine');
});

test('deleteData() deletes the data of one node, also what an earlier try left behind', async () => {
  for (const name of ['node0', 'node1', 'node1.discarded']) {
    await mkdir(join(directory, name));
    await writeFile(join(directory, name, 'CURRENT'), 'x');
  }
  await deleteData(directory, 'node1');
  assert.deepEqual(await readdir(directory), ['node0']);
  await deleteData(directory, 'node1');
  assert.deepEqual(await readdir(join(directory, 'node0')), ['CURRENT']);
});

test('resetDirectory() removes a directory that holds nothing else, and forgives a missing one', async () => {
  const path = join(directory, 'local');
  await mkdir(path);
  await writeCluster(path, planCluster({}, undefined));
  await resetDirectory(path);
  assert.deepEqual(await readdir(directory), []);
  await resetDirectory(path);
});

async function listenAnywhere(): Promise<{ port: number; close: () => Promise<unknown> }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen({ host: '127.0.0.1', port: 0 }, resolve));
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return { port: address.port, close: () => new Promise((resolve) => server.close(resolve)) };
}

test('checkPorts() names the port that is taken and for what it was meant', async () => {
  const [taken, free] = [await listenAnywhere(), await listenAnywhere()];
  const port = taken.port;
  await free.close();
  const node = { name: 'node0', httpPort: port, peerPort: free.port, isProphet: true };
  const cluster = { clusterId: 'c', shardCapacityBytes: 1024, nodes: [node] };
  const expected = new RegExp(`^Port ${port} \\(HTTP of node0\\) is in use by another program`);
  await assert.rejects(checkPorts(cluster), refusedWith(5, expected));
  await taken.close();
  await checkPorts(cluster);
});

test('the control channel carries requests, answers and refusals, and excludes a second supervisor', async () => {
  assert.equal(await askControl(directory, { command: 'status' }), undefined);
  const control = await openControl(directory, async ({ command }) => {
    if (command === 'fail') throw new CliError('usage', 'No such node');
    return { echo: command };
  });
  assert.deepEqual(await askControl(directory, { command: 'status' }), { echo: 'status' });
  await assert.rejects(
    askControl(directory, { command: 'fail' }),
    refusedWith(2, /^No such node$/),
  );
  const second = openControl(directory, async () => ({}));
  await assert.rejects(second, refusedWith(5, /runs in .* already/));
  assert.equal(await isRunning(directory), true);
  await control.close();
  assert.equal(await isRunning(directory), false);
});

test('the control socket moves to a short path when the directory is too deep', () => {
  const [deep] = socketPathsOf(join('/', 'x'.repeat(120)));
  assert.ok(deep?.startsWith(tmpdir()) && deep.length <= 100);
  assert.equal(socketPathsOf('/a')[0], '/a/control.sock');
});

test('lastWords() prefers the sentence on standard error to the last error in JSON', async () => {
  const log = join(directory, 'node0.log');
  await writeFile(log, 'Old news\n');
  const start = logSize(log);
  const lines = [
    '{"level":"info","msg":"Started"}',
    '{"level":"error","msg":"Disk failed","cause":{"message":"EIO"}}',
    '{"level":"info","msg":"Stopped"}',
  ];
  await writeFile(log, `Old news\n${lines.join('\n')}\n`);
  assert.equal(lastWords(log, start), 'Disk failed: EIO');
  await writeFile(log, `Old news\n${lines.join('\n')}\nThe data belongs to cluster b\n`);
  assert.equal(lastWords(log, start), 'The data belongs to cluster b');
  assert.equal(lastWords(log, logSize(log)), '');
  assert.equal(lastWords(join(directory, 'gone.log'), 0), '');
});

test('interrupts count signals within a second as one press', () => {
  const listeners: (() => void)[] = [];
  let now = 0;
  const source = { on: (_: string, run: () => void) => listeners.push(run), off: () => {} };
  const interrupts = listenForInterrupts(source, () => now);
  const press = (): void => listeners[0]?.();
  press();
  now = 900;
  press();
  assert.deepEqual([interrupts.stop.aborted, interrupts.force.aborted], [true, false]);
  now = 1_000;
  press();
  assert.equal(interrupts.force.aborted, true);
});
