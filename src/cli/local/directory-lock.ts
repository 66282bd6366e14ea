// One supervisor for a directory, also when two start at the same instant. The lock is that of an empty
// SQLite database: the system holds it for this process and drops it when the process ends, however it
// ends. (A process id in a file could belong to a stranger by then, in a container it often does.)

import { rm, stat, writeFile } from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';
import { CliError } from '../exit-codes.ts';
import { isMissing, reasonOf } from './cluster-file.ts';
import { alreadyRunning } from './control-channel.ts';
import { cannotWrite, isExisting, lockFileOf } from './directory.ts';

const SQLITE_BUSY = 5;
/** Each try fails only when another process gave the lock back in that very moment. */
const TRIES_MAX = 10;

export interface DirectoryLock {
  release(): Promise<void>;
}

/** Of a directory that is there. Refuses when another supervisor has it. */
export async function lockDirectory(directory: string): Promise<DirectoryLock> {
  const path = lockFileOf(directory);
  for (let tries = 0; tries < TRIES_MAX; tries += 1) {
    await makeFile(directory);
    const before = await inodeOf(path);
    const database = lockFile(directory);
    // Its last owner may have removed the file meanwhile: then this lock keeps nobody out.
    if (before !== undefined && before === (await inodeOf(path))) {
      return { release: () => release(database, path) };
    }
    database.close();
  }
  throw alreadyRunning(directory);
}

/** Opens no file that is there: to close it again would drop a lock that this process has on it. */
async function makeFile(directory: string): Promise<void> {
  try {
    await writeFile(lockFileOf(directory), '', { flag: 'wx' });
  } catch (error) {
    if (!isExisting(error)) throw cannotWrite(directory, error);
  }
}

async function inodeOf(path: string): Promise<bigint | undefined> {
  try {
    return (await stat(path, { bigint: true })).ino;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function lockFile(directory: string): DatabaseSync {
  const path = lockFileOf(directory);
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { timeout: 0 });
    // The journal stays in memory, so that there is no second file.
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
    return database;
  } catch (error) {
    database?.close();
    if (error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY) {
      throw alreadyRunning(directory);
    }
    throw new CliError(
      'failed',
      `Cannot lock ${path} (${reasonOf(error)}): choose another directory with --dir`,
    );
  }
}

/** The file goes first: whoever makes it anew finds no lock on it, and nobody trusts the old one. */
async function release(database: DatabaseSync, path: string): Promise<void> {
  await rm(path, { force: true }).catch(() => {}); // A file without a lock does no harm.
  database.close();
}
