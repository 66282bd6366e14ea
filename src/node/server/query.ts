// The query of a URL, binary-safe: a parameter's value is bytes first, and text, number or flag only
// for those who ask. A parameter that is given twice, or means nothing here, is refused rather than
// guessed at: a mistyped `prefix` would otherwise scan everything.

import { isUtf8 } from 'node:buffer';
import { view } from '../../kernel/bytes.ts';
import { MatrixError } from '../../kernel/errors.ts';
import { decodePercent } from './percent.ts';

export class Query {
  /** Values as they came, still percent-encoded. */
  readonly #values: ReadonlyMap<string, readonly string[]>;

  private constructor(values: ReadonlyMap<string, readonly string[]>) {
    this.#values = values;
  }

  static readonly EMPTY: Query = new Query(new Map());

  /** From what stands behind the question mark. */
  static parse(text: string): Query {
    if (text === '') return Query.EMPTY;
    const values = new Map<string, string[]>();
    for (const pair of text.split('&')) {
      if (pair === '') continue;
      const equals = pair.indexOf('=');
      const rawName = equals === -1 ? pair : pair.slice(0, equals);
      const name = view(decode(rawName, 'A parameter name')).toString('utf8');
      const value = equals === -1 ? '' : pair.slice(equals + 1);
      const known = values.get(name);
      if (known === undefined) values.set(name, [value]);
      else known.push(value);
    }
    return new Query(values);
  }

  /** Refuses parameters that nobody would read. */
  allowOnly(names: readonly string[]): void {
    for (const name of this.#values.keys()) {
      if (names.includes(name)) continue;
      const known = names.length === 0 ? 'none' : names.join(', ');
      throw invalid(`Parameter ${JSON.stringify(name)} is unknown here, known: ${known}`);
    }
  }

  bytes(name: string): Uint8Array | undefined {
    const values = this.#values.get(name);
    const [value] = values ?? [];
    if (values === undefined || value === undefined) return undefined;
    if (values.length > 1) throw invalid(`Parameter ${name} is given ${values.length} times`);
    return decode(value, `Parameter ${name}`);
  }

  text(name: string): string | undefined {
    const bytes = this.bytes(name);
    if (bytes === undefined) return undefined;
    if (!isUtf8(bytes)) throw invalid(`Parameter ${name} is not UTF-8`);
    return view(bytes).toString('utf8');
  }

  /** `?reverse`, `?reverse=true` and `?reverse=1` say yes; absent, `false` and `0` say no. */
  flag(name: string): boolean {
    const text = this.text(name);
    if (text === undefined || text === 'false' || text === '0') return false;
    if (text === '' || text === 'true' || text === '1') return true;
    throw invalid(`Parameter ${name} is ${JSON.stringify(text)}, expected true or false`);
  }

  /** A whole number of at least 0; the caller checks its range. */
  integer(name: string): number | undefined {
    const text = this.text(name);
    return text === undefined ? undefined : parseInteger(text, `Parameter ${name}`);
  }
}

/** A whole number that JavaScript holds exactly. */
export function parseInteger(text: string, what: string): number {
  const value = Number(text);
  if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(value)) {
    throw invalid(`${what} is ${JSON.stringify(text)}, expected a whole number`);
  }
  return value;
}

function decode(text: string, what: string): Uint8Array {
  return decodePercent(text.replaceAll('+', ' '), what);
}

function invalid(text: string): MatrixError {
  return new MatrixError('INVALID_ARGUMENT', text);
}
