// Where the values of the options come from (flags, environment, defaults), and readers that turn
// one value into a checked one or refuse with a sentence. config.ts puts the Config together.

import { parseArgs } from 'node:util';
import { MatrixError } from '../kernel/errors.ts';
import { type HostPort, parseDuration, parseHostPort, parseSize } from '../kernel/quantity.ts';
import { OPTIONS, type Option, type OptionName } from './config-options.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export function refuse(text: string): never {
  throw new MatrixError('INVALID_ARGUMENT', text);
}

/** The options as text, with readers that check and refuse. */
export class OptionSource {
  readonly #values: ReadonlyMap<OptionName, string>;

  constructor(values: ReadonlyMap<OptionName, string>) {
    this.#values = values;
  }

  text(name: OptionName): string | undefined {
    return this.#values.get(name) ?? option(name).default;
  }

  required(name: OptionName): string {
    const value = this.text(name) ?? '';
    return value === '' ? refuse(`--${name} is missing: ${option(name).help}`) : value;
  }

  isSet(name: OptionName): boolean {
    return this.oneOf(name, ['true', 'false']) === 'true';
  }

  matching(name: OptionName, pattern: RegExp, example: string): string {
    const value = this.required(name);
    if (pattern.test(value)) return value;
    return refuse(
      `--${name} ${value} is not a name: use at most 63 letters, digits, dots and dashes, ` +
        `such as ${example}`,
    );
  }

  oneOf<T extends string>(name: OptionName, allowed: readonly T[]): T {
    const value = this.required(name);
    const found = allowed.find((candidate) => candidate === value);
    return found ?? refuse(`--${name} ${value} is not known: use one of ${allowed.join(', ')}`);
  }

  integer(name: OptionName, range: { min: number; max: number }): number {
    const value = this.required(name);
    const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
    if (number >= range.min && number <= range.max) return number;
    return refuse(
      `--${name} ${value} is out of range: use a whole number from ${range.min} to ${range.max}`,
    );
  }

  size(name: OptionName, range: { min: number; max: number }): number {
    const value = this.required(name);
    const bytes = parseSize(value);
    if (bytes !== undefined && bytes >= range.min && bytes <= range.max) return bytes;
    return refuse(
      `--${name} ${value} is not a size from ${range.min} to ${range.max} bytes: ` +
        'use bytes or a unit, such as 64MiB',
    );
  }

  duration(name: OptionName, range: { min: number }): number {
    const value = this.required(name);
    const milliseconds = parseDuration(value);
    if (milliseconds !== undefined && milliseconds >= range.min && milliseconds <= 2 ** 31 - 1) {
      return milliseconds;
    }
    return refuse(
      `--${name} ${value} is not a duration from ${range.min} ms to 24 days: ` +
        'use a number and ms, s, m or h, such as 5m',
    );
  }

  address(name: OptionName): HostPort {
    const value = this.required(name);
    return (
      parseHostPort(value) ??
      refuse(`--${name} ${value} is not an address: use HOST:PORT, such as 127.0.0.1:8080`)
    );
  }
}

export function readSource(argv: readonly string[], environment: Environment): OptionSource {
  const values = new Map<OptionName, string>();
  for (const name of optionNames()) {
    const value = environment[environmentName(name)];
    if (value !== undefined && value !== '') values.set(name, value);
  }
  const flags = parseFlags(argv);
  for (const name of optionNames()) {
    const value = flags[name];
    if (value !== undefined) values.set(name, String(value));
  }
  return new OptionSource(values);
}

function parseFlags(argv: readonly string[]): Readonly<Record<string, unknown>> {
  const options = Object.fromEntries(
    optionNames().map((name) => [name, { type: option(name).isSwitch ? 'boolean' : 'string' }]),
  ) satisfies Record<string, { type: 'boolean' | 'string' }>;
  try {
    return parseArgs({ args: [...argv], options, strict: true, allowPositionals: false }).values;
  } catch (error) {
    // The text of parseArgs names the flag; its advice about `--` does not fit here.
    const text = error instanceof Error ? (error.message.split('. ')[0] ?? '') : String(error);
    return refuse(`${text}: see --help for all options`);
  }
}

function optionNames(): OptionName[] {
  // Object.keys forgets the key type; the table has exactly these keys.
  return Object.keys(OPTIONS) as OptionName[];
}

function environmentName(name: string): string {
  return `MATRIXKV_${name.toUpperCase().replaceAll('-', '_')}`;
}

function option(name: OptionName): Option {
  return OPTIONS[name];
}
