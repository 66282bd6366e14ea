// The directory of a local cluster: which paths are in it, and that nothing in it or beside it is
// harmed. A directory with other people's files is never used, and never emptied by --reset.

import { mkdir, readdir, rename, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { CliError } from '../exit-codes.ts';
import {
  clusterFileOf,
  isMissing,
  type LocalCluster,
  readCluster,
  reasonOf,
  writeWhole,
} from './cluster-file.ts';

export const DEFAULT_DIRECTORY = './.matrixkv';
const LOCK_FILE = 'supervisor.lock';

export function dataDirectoryOf(directory: string, name: string): string {
  return join(directory, name);
}

export function logFileOf(directory: string, name: string): string {
  return join(directory, `${name}.log`);
}

export function runFileOf(directory: string): string {
  return join(directory, 'run.json');
}

/** The file by which a supervisor has the directory for itself. */
export function lockFileOf(directory: string): string {
  return join(directory, LOCK_FILE);
}

/** Makes the directory where it is missing; refuses one that belongs to others. */
export async function openDirectory(directory: string): Promise<LocalCluster | undefined> {
  const cluster = await readExisting(directory);
  try {
    await makeDirectory(resolve(directory));
  } catch (error) {
    throw cannotWrite(directory, error);
  }
  return cluster;
}

/** Opens the directory and proves that it can be written, before anything starts. */
export async function claimDirectory(directory: string): Promise<LocalCluster | undefined> {
  const cluster = await openDirectory(directory);
  try {
    const probe = join(directory, '.probe');
    await writeWhole(probe, '');
    await rm(probe);
  } catch (error) {
    throw cannotWrite(directory, error);
  }
  return cluster;
}

export function cannotWrite(directory: string, error: unknown): CliError {
  return new CliError(
    'failed',
    `Cannot write to the directory ${directory} (${reasonOf(error)}): choose another with --dir`,
  );
}

/**
 * With its parents. (The recursive mkdir of Node never ends where the system says ENOENT although the
 * parent is there, as under /proc.)
 */
async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    if (isExisting(error)) return;
    const parent = dirname(path);
    if (!isMissing(error) || parent === path || (await isThere(parent))) throw error;
    await makeDirectory(parent);
    await mkdir(path);
  }
}

export function isExisting(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EEXIST';
}

async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch {
    return false; // Why it is not there, the mkdir that follows says better.
  }
}

/** Undefined for a directory that is missing or empty. */
async function readExisting(directory: string): Promise<LocalCluster | undefined> {
  const entries = await listEntries(directory);
  if (entries.length === 0) return undefined;
  const cluster = await readCluster(directory);
  if (cluster !== undefined) return cluster;
  // Leftovers of a first start that was cut short are ours.
  const isOwn = (entry: string): boolean => entry === LOCK_FILE || OWN_LEFTOVERS.includes(entry);
  if (entries.every(isOwn)) return undefined;
  throw new CliError(
    'failed',
    `The directory ${directory} has files in it but no cluster.json, so it is no MatrixKV directory: ` +
      'choose another with --dir',
  );
}

const OWN_LEFTOVERS: readonly string[] = [
  '.probe',
  '.probe.new',
  'cluster.json.new',
  'control.sock',
  'run.json',
  'run.json.new',
];

async function listEntries(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isMissing(error)) return [];
    throw new CliError(
      'failed',
      `Cannot use ${directory} as a directory (${reasonOf(error)}): choose another with --dir`,
    );
  }
}

/**
 * Deletes the data of a node that does not run. First it gets another name, at one stroke: a deletion that
 * is cut short must not leave half a store where the node looks for a whole one.
 */
export async function deleteData(directory: string, name: string): Promise<void> {
  const discarded = discardedDataOf(directory, name);
  try {
    await rm(discarded, { recursive: true, force: true });
    await rename(dataDirectoryOf(directory, name), discarded);
    await rm(discarded, { recursive: true, force: true });
  } catch (error) {
    if (isMissing(error)) return;
    throw new CliError('failed', `Cannot delete the data of ${name}: ${reasonOf(error)}`);
  }
}

function discardedDataOf(directory: string, name: string): string {
  return join(directory, `${name}.discarded`);
}

/**
 * Deletes what belongs to the local cluster, and nothing else; the lock stays, as long as it is held.
 * cluster.json goes last: a reset that was cut short can be repeated.
 */
export async function resetDirectory(directory: string): Promise<void> {
  const cluster = await readExisting(directory);
  if (cluster === undefined) return;
  try {
    for (const { name } of cluster.nodes) {
      await deleteData(directory, name);
      await rm(logFileOf(directory, name), { force: true });
    }
    for (const leftover of OWN_LEFTOVERS) await rm(join(directory, leftover), { force: true });
    await rm(clusterFileOf(directory));
  } catch (error) {
    throw new CliError('failed', `Cannot reset ${directory}: ${reasonOf(error)}`);
  }
  // Something that is not ours keeps the directory alive, which is right.
  await rmdir(directory).catch(() => {});
}
