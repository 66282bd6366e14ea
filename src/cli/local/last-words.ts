// What a node said last, from the end of its log: a sentence on standard error (bare text), or else the
// last line of JSON that is an error.

import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { isObject } from '../json-reader.ts';

const TAIL_BYTES_MAX = 64 * 1024;
const SENTENCE_LENGTH_MAX = 500;

export function logSize(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** Looks only behind `start`, where this run began. Empty when nothing telling was said. */
export function lastWords(path: string, start: number): string {
  let tail: string;
  try {
    tail = readTail(path, start);
  } catch {
    return ''; // The log was removed under the node: then there is nothing to quote.
  }
  const lines = tail.split('\n').filter((line) => line.trim() !== '');
  const sentence = lines.findLast(
    (line) => !line.startsWith('{') && !/^\s+at |^\s|^Node\.js v/.test(line),
  );
  const said = sentence ?? lines.map(errorIn).findLast((text) => text !== '') ?? '';
  return said.slice(0, SENTENCE_LENGTH_MAX).trim();
}

function readTail(path: string, start: number): string {
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    const from = Math.max(start, size - TAIL_BYTES_MAX);
    const buffer = Buffer.alloc(Math.max(0, size - from));
    const length = readSync(file, buffer, 0, buffer.length, from);
    return buffer.toString('utf8', 0, length);
  } finally {
    closeSync(file);
  }
}

function errorIn(line: string): string {
  try {
    const json: unknown = JSON.parse(line);
    if (!isObject(json) || (json['level'] !== 'error' && json['level'] !== 'fatal')) return '';
    const cause = Object.values(json).find((value) => isObject(value) && 'message' in value);
    const detail = isObject(cause) ? `: ${String(cause['message'])}` : '';
    return `${String(json['msg'])}${detail}`;
  } catch {
    return ''; // Half a line, as the tail begins anywhere.
  }
}
