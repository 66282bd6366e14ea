// What cannot work is refused: one clear sentence, an exit code that is not 0, and what was there before
// is as it was.

import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, test } from 'node:test';
import { call, callJson } from './http-calls.ts';
import { type CommandResult, LocalCluster, mkv } from './local-cluster.ts';
import { PlainNodes } from './plain-nodes.ts';
import { makeDirectory, removeDirectory } from './temporary-directory.ts';

/** Root may write everywhere: then a file mode refuses nothing. */
const IS_ROOT = process.getuid?.() === 0;

function assertRefused({ code, output }: CommandResult, sentence: RegExp): void {
  assert.ok(code !== undefined && code > 0, `Exit code ${code}: ${output}`);
  const lines = output.trim().split('\n');
  const last = lines.at(-1) ?? '';
  assert.match(last, sentence);
  assert.match(last, /^mkv: [^\n]+\.$/);
  assert.doesNotMatch(output, /^ +at /m, 'No stack trace');
}

describe('refusals', { timeout: 100_000 }, () => {
  const clusters: LocalCluster[] = [];
  const directories: string[] = [];
  let nodes: PlainNodes | undefined;
  afterEach(async () => {
    await Promise.all(clusters.splice(0).map((cluster) => cluster.close()));
    await Promise.all(directories.splice(0).map(removeDirectory));
    await nodes?.close();
    nodes = undefined;
  });

  async function prepare(size = 3): Promise<LocalCluster> {
    const cluster = await LocalCluster.prepare(size);
    clusters.push(cluster);
    return cluster;
  }

  async function temporary(): Promise<string> {
    const directory = await makeDirectory();
    directories.push(directory);
    return directory;
  }

  async function write(cluster: LocalCluster, value: string): Promise<void> {
    const { status } = await call(`${cluster.url(0)}/v1/kv/k`, { method: 'PUT', body: value });
    assert.ok(status === 200 || status === 201, `Status ${status}`);
  }

  test('an occupied HTTP or peer port is named, and nothing is written', async () => {
    for (const offset of [2, 1_001]) {
      const cluster = await prepare();
      const port = cluster.port + offset;
      const occupier = createServer();
      await new Promise<void>((resolve) => {
        occupier.listen({ host: '127.0.0.1', port }, resolve);
      });
      const args = ['--dir', cluster.directory, '--port', String(cluster.port), '--nodes=3'];
      const result = await mkv('local', ...args);
      assertRefused(result, new RegExp(`Port ${port} .* is in use by another program`));
      assert.deepEqual(await filesIn(cluster.directory), []);
      await new Promise((resolve) => occupier.close(resolve));
      await cluster.start();
      await write(cluster, 'free again');
    }
  });

  test('a file in the place of the directory is left as it is', async () => {
    const path = join(await temporary(), 'file');
    await writeFile(path, 'mine');
    assertRefused(await mkv('local', '--dir', path), /Cannot use .*file as a directory/);
    assertRefused(await mkv('local', '--dir', join(path, 'below')), /Cannot /);
    assertRefused(await mkv('local', '--reset', '--dir', path), /Cannot use .*file as a directory/);
    assert.equal(await readFile(path, 'utf8'), 'mine');
  });

  test('a directory that cannot be written is refused', { skip: IS_ROOT }, async () => {
    const path = join(await temporary(), 'locked');
    await mkdir(path, { mode: 0o500 });
    assertRefused(await mkv('local', '--dir', path), /Cannot write to the directory .*locked/);
    await chmod(path, 0o700);
    assert.deepEqual(await readdir(path), []);
  });

  test("a directory with a person's own files is neither used nor reset", async () => {
    const path = await temporary();
    await writeFile(join(path, 'thesis.txt'), 'mine');
    for (const reset of [[], ['--reset']]) {
      assertRefused(await mkv('local', '--dir', path, ...reset), /has files in it/);
    }
    assert.deepEqual(await readdir(path), ['thesis.txt']);
  });

  test('a second supervisor of a directory is refused, and the first runs on', async () => {
    const cluster = await prepare();
    await cluster.start();
    await write(cluster, 'before');
    const other = await prepare();
    for (const more of [[], ['--reset']]) {
      const args = ['--dir', cluster.directory, '--port', String(other.port), ...more];
      assertRefused(await mkv('local', ...args), /runs in .* already/);
    }
    await write(cluster, 'after');
    assert.equal((await call(`${cluster.url(2)}/v1/kv/k`)).body, 'after');
    assert.deepEqual(await cluster.interrupt(), { code: 0, signal: undefined });
  });

  test('fewer nodes than there are, is refused, and the data is found by the next start', async () => {
    const cluster = await prepare();
    await cluster.start();
    await write(cluster, 'kept');
    await cluster.interrupt();
    const args = ['--dir', cluster.directory, '--port', String(cluster.port)];
    assertRefused(await mkv('local', ...args, '--nodes=2'), /has 3 nodes .*--reset/);
    await cluster.start();
    assert.equal((await call(`${cluster.url(1)}/v1/kv/k`)).body, 'kept');
  });

  test('the data directory of another cluster, or of another node, is refused unharmed', async () => {
    const owner = await PlainNodes.prepare({ nodes: 1 });
    nodes = owner;
    await owner.start(0);
    await owner.untilReady([0], 30_000);
    const put = await call(`${owner.url(0)}/v1/kv/k`, { method: 'PUT', body: 'kept' });
    assert.equal(put.status, 201);
    assert.equal((await owner.stop(0)).code, 0);
    const strangers = [
      { flags: ['--cluster-id', 'another'], sentence: /another/ },
      {
        flags: ['--name', 'node9', '--roles', 'data', '--advertise', '127.0.0.1:9'],
        sentence: /node9/,
      },
    ];
    for (const { flags, sentence } of strangers) {
      const refused = await owner.start(0, ...flags);
      const { code } = await refused.ended;
      assert.ok(code !== undefined && code > 0, `Exit code ${code}`);
      const last = owner.output(0).trim().split('\n').at(-1) ?? '';
      assert.match(last, sentence);
      assert.doesNotMatch(last, /^\{|^ +at /);
    }
    await owner.start(0);
    await owner.untilReady([0], 30_000);
    assert.equal((await call(`${owner.url(0)}/v1/kv/k`)).body, 'kept');
  });

  test('a data directory in use by a running node is refused to a second one', async () => {
    nodes = await PlainNodes.prepare({ nodes: 2, flags: ['--max-replicas', '1'] });
    await nodes.start(0);
    await nodes.untilAlive(0, 30_000);
    const thief = await nodes.start(1, '--data-dir', nodes.dataDirectory(0));
    const { code } = await thief.ended;
    assert.ok(code !== undefined && code > 0, `Exit code ${code}`);
    assert.match(nodes.output(1), /another process uses it/);
    assert.ok(nodes.isRunning(0));
    await callJson(`${nodes.url(0)}/v1/health`);
  });

  test('the local cluster repeats the sentence of a node that refuses', async () => {
    const cluster = await prepare();
    await cluster.start();
    await write(cluster, 'kept');
    await cluster.interrupt();
    const path = join(cluster.directory, 'cluster.json');
    const text = await readFile(path, 'utf8');
    await writeFile(path, text.replace(/"clusterId": "[^"]*"/, '"clusterId": "another"'));
    const args = ['--dir', cluster.directory, '--port', String(cluster.port)];
    assertRefused(await mkv('local', ...args), /node\d could not start: .*another/);
    await writeFile(path, text);
    await cluster.start();
    assert.equal((await call(`${cluster.url(1)}/v1/kv/k`)).body, 'kept');
  });
});

/** Empty for a directory that is missing or empty. */
async function filesIn(directory: string): Promise<readonly string[]> {
  return await readdir(directory).catch(() => []);
}
