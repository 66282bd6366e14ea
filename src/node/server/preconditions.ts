// Versions as entity tags. A key's version is its strong ETag, so compare-and-set is plain HTTP:
// `If-Match: "17"` writes over exactly that version, `If-Match: *` only over something, and
// `If-None-Match: *` only where nothing is (RFC 9110, 13.1).

import { MatrixError } from '../../kernel/errors.ts';
import type { Precondition } from '../shard/kv-types.ts';
import type { Headers } from './route.ts';
import { headerOf } from './route.ts';

const STRONG_TAG = /^"([1-9]\d{0,15})"$/;

export function entityTag(version: number): string {
  return `"${version}"`;
}

/** What a write asks for. Where a header could be read in two ways it is refused, never ignored. */
export function writePrecondition(headers: Headers): Precondition | undefined {
  const ifMatch = headerOf(headers, 'if-match')?.trim();
  const ifNoneMatch = headerOf(headers, 'if-none-match')?.trim();
  if (ifMatch !== undefined && ifNoneMatch !== undefined) {
    throw invalid('If-Match and If-None-Match exclude each other');
  }
  if (ifNoneMatch !== undefined) {
    if (ifNoneMatch === '*') return { type: 'absent' };
    throw invalid(`If-None-Match of a write must be *, not ${ifNoneMatch}`);
  }
  if (ifMatch === undefined) return undefined;
  if (ifMatch === '*') return { type: 'present' };
  const version = Number(STRONG_TAG.exec(ifMatch)?.[1] ?? Number.NaN);
  if (!Number.isSafeInteger(version)) {
    throw invalid(`If-Match must be * or one version in quotes like "17", not ${ifMatch}`);
  }
  return { type: 'version', version };
}

/** Whether the reader already has this version: then 304 and no body. Weak comparison, as for GET. */
export function isNotModified(headers: Headers, version: number): boolean {
  const ifNoneMatch = headerOf(headers, 'if-none-match');
  if (ifNoneMatch === undefined) return false;
  if (ifNoneMatch.trim() === '*') return true;
  const tag = entityTag(version);
  return ifNoneMatch.split(',').some((part) => part.trim().replace(/^W\//, '') === tag);
}

function invalid(text: string): MatrixError {
  return new MatrixError('INVALID_ARGUMENT', text);
}
