// The gate for JSON bodies. Whatever is not exactly what was asked for is refused before anything is
// done with it: the ancestor wrote the key "" when it could not read a body (a.12, 13).

import { isUtf8 } from 'node:buffer';
import { view } from '../../kernel/bytes.ts';
import { MatrixError } from '../../kernel/errors.ts';

export type JsonObject = Readonly<Record<string, unknown>>;

export function parseJsonObject(body: Uint8Array): JsonObject {
  if (body.length === 0) throw invalid('Body is empty, expected a JSON object');
  // JSON is UTF-8 (RFC 8259, 8.1); decoding anything else would quietly change the key.
  if (!isUtf8(body)) throw invalid('Body is not UTF-8; binary keys and values go to /v1/kv/{key}');
  const parsed = parse(view(body).toString('utf8'));
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw invalid('Body is not a JSON object');
  }
  return { ...parsed };
}

/** A string that has a UTF-8 form: JSON can also spell half a character, like "\ud800". */
export function stringField(object: JsonObject, name: string): string {
  const value = fieldOf(object, name);
  if (typeof value !== 'string') throw invalid(`Field "${name}" is not a string`);
  if (!value.isWellFormed()) throw invalid(`Field "${name}" has half a surrogate pair`);
  return value;
}

/** An id: a safe integer of at least 1. */
export function idField(object: JsonObject, name: string): number {
  const value = fieldOf(object, name);
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1) {
    throw invalid(`Field "${name}" is not a whole number of at least 1`);
  }
  return value;
}

function fieldOf(object: JsonObject, name: string): unknown {
  if (!Object.hasOwn(object, name)) throw invalid(`Field "${name}" is missing`);
  return object[name];
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new MatrixError('INVALID_ARGUMENT', `Body is not JSON: ${reason}`, { cause: error });
  }
}

function invalid(text: string): MatrixError {
  return new MatrixError('INVALID_ARGUMENT', text);
}
