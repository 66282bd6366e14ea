// Foreign errors of a disk in the words of an operator: which directory, what is wrong, what to do.
// LevelDB reports texts, the file system codes; both come through here.

import { AssertionError } from '../../kernel/assert.ts';
import { MatrixError } from '../../kernel/errors.ts';

/** Why the database cannot be opened. */
export function openFailure(directory: string, cause: unknown): MatrixError {
  if (cause instanceof MatrixError) return cause;
  const root = rootOf(cause);
  if (codeOf(root) === 'LEVEL_LOCKED') {
    const text = `Cannot open storage in ${directory} as another process uses it: stop that process or give this node a directory of its own`;
    return new MatrixError('UNAVAILABLE', text, { cause });
  }
  if (codeOf(root) === 'LEVEL_CORRUPTION') return damaged(directory, root);
  if (isDiskFull(root)) {
    const text = `Cannot open storage in ${directory} as its disk is full: free space or enlarge the volume`;
    return new MatrixError('DISK_FULL', text, { cause });
  }
  const text = `Cannot open storage in ${directory} (${textOf(root)}): check that it is a directory which this user may write`;
  return new MatrixError('UNAVAILABLE', text, { cause });
}

/** Files are missing or wrong. Never repaired in place: what a repair drops may be a vote. */
export function damaged(directory: string, cause: unknown): MatrixError {
  const text = `Cannot open storage in ${directory} as it is damaged (${textOf(cause)}): move the directory away and start this node empty, as a new store`;
  return new MatrixError('INTERNAL', text, { cause });
}

/** What went wrong while reading. Assertions and errors that are already clear pass unchanged. */
export function readFailure(name: string, cause: unknown): Error {
  if (cause instanceof AssertionError || cause instanceof MatrixError) return cause;
  return new MatrixError('INTERNAL', `Cannot read from storage ${name}: ${textOf(cause)}`, {
    cause,
  });
}

/** The disk may hold the batch or not: only a restart, which replays the log, can tell. */
export function writeFailure(name: string, cause: unknown): MatrixError {
  const code = isDiskFull(cause) ? 'DISK_FULL' : 'INTERNAL';
  const text = `Cannot write to storage ${name}, the node must stop: ${textOf(cause)}`;
  return new MatrixError(code, text, { cause, outcome: 'unknown' });
}

/** LevelDB passes on the text of the system's error, without its number. */
function isDiskFull(cause: unknown): boolean {
  return /ENOSPC|EDQUOT|No space left|quota exceeded/i.test(textOf(cause));
}

/** classic-level wraps the error that says why into one that says that the database is not open. */
function rootOf(error: unknown): unknown {
  return error instanceof Error && error.cause !== undefined ? rootOf(error.cause) : error;
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
