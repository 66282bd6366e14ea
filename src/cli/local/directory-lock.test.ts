// The lock between real processes, as only those can be killed.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { lockDirectory } from './directory-lock.ts';

/** Waits for a line, so that all try at the same instant; holds the lock until its input ends. */
const PROGRAM = `
import { lockDirectory } from ${JSON.stringify(new URL('./directory-lock.ts', import.meta.url).href)};
console.log('here');
process.stdin.once('data', async () => {
  try {
    await lockDirectory(process.argv[2]);
    console.log('held');
  } catch (error) {
    console.log(error.message);
  }
});
`;

let directory = '';
let program = '';
let children: ChildProcess[] = [];
beforeEach(async () => {
  const parent = await mkdtemp(join(tmpdir(), 'matrixkv-test-'));
  directory = join(parent, 'cluster');
  program = join(parent, 'locker.mjs');
  await writeFile(program, PROGRAM);
  await mkdir(directory);
  children = [];
});
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  await rm(join(directory, '..'), { recursive: true, force: true });
});

function startLocker(): { readonly child: ChildProcess; readonly nextLine: () => Promise<string> } {
  const child = spawn(process.execPath, [program, directory], { stdio: 'pipe' });
  children.push(child);
  const nextLine = (): Promise<string> =>
    new Promise((resolve) => {
      child.stdout.once('data', (data: Buffer) => resolve(String(data).trim()));
    });
  return { child, nextLine };
}

const TAKEN = /^A local cluster runs in .* already/;

test('of many processes that try at the same instant one gets the lock, also after a killed one', async () => {
  // What a supervisor that was killed leaves behind.
  await writeFile(join(directory, 'supervisor.lock'), '');
  for (let round = 0; round < 2; round += 1) {
    const lockers = Array.from({ length: 4 }, startLocker);
    await Promise.all(lockers.map(({ nextLine }) => nextLine()));
    const results = lockers.map(({ nextLine }) => nextLine());
    for (const { child } of lockers) child.stdin?.write('go\n');
    const lines = await Promise.all(results);
    assert.equal(lines.filter((line) => line === 'held').length, 1, lines.join('\n'));
    assert.equal(lines.filter((line) => TAKEN.test(line)).length, 3, lines.join('\n'));
    await assert.rejects(lockDirectory(directory), /A local cluster runs in/);
    const gone = lockers.map(({ child }) => new Promise((resolve) => child.once('exit', resolve)));
    for (const { child } of lockers) child.kill('SIGKILL');
    await Promise.all(gone);
  }
  const lock = await lockDirectory(directory);
  await lock.release();
  assert.deepEqual(await readdir(directory), []);
});

test('lockDirectory() refuses a second time within the process, until it is given back', async () => {
  const lock = await lockDirectory(directory);
  await assert.rejects(lockDirectory(directory), /^CliError: A local cluster runs in .* already/);
  await assert.rejects(lockDirectory(directory), /already/);
  await lock.release();
  await (await lockDirectory(directory)).release();
});

test('lockDirectory() leaves a file of others in its place alone', async () => {
  await writeFile(join(directory, 'supervisor.lock'), 'a shopping list, no lock\n'.repeat(10));
  await assert.rejects(
    lockDirectory(directory),
    /^CliError: Cannot lock .*choose another directory/,
  );
  assert.deepEqual(await readdir(directory), ['supervisor.lock']);
});
