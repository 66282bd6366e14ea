// What each command is given: where to print, in which form, and the cluster to talk to.

import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseDuration } from '../kernel/quantity.ts';
import { Api } from './api.ts';
import { DEFAULT_ENDPOINTS, parseEndpoints } from './endpoints.ts';
import { HttpCaller } from './http-caller.ts';
import type { Environment, Terminal } from './terminal.ts';

export interface CommandContext {
  readonly terminal: Terminal;
  readonly environment: Environment;
}

export interface GlobalOptions {
  readonly endpoint?: string;
  readonly output: 'table' | 'json';
  /** Milliseconds. */
  readonly timeout: number;
}

/** The options that every command understands, before or behind its own. */
export function addGlobalOptions(program: Command): void {
  program
    .addOption(
      new Option(
        '-e, --endpoint <url,...>',
        'nodes to talk to, tried in turn; or MKV_ENDPOINT (default: http://127.0.0.1:8080 to :8083)',
      ),
    )
    .addOption(
      new Option('-o, --output <form>', 'how to print').choices(['table', 'json']).default('table'),
    )
    .addOption(
      new Option('--timeout <time>', 'give up after this: 500ms, 10s, 1m')
        .argParser(parseTimeout)
        .default(10_000, '10s'),
    );
}

export function apiOf(options: GlobalOptions, { environment }: CommandContext): Api {
  const text = options.endpoint ?? (environment['MKV_ENDPOINT'] || DEFAULT_ENDPOINTS);
  const endpoints = parseEndpoints(text);
  return new Api(new HttpCaller({ endpoints, timeoutMs: options.timeout }));
}

/** One JSON document on standard output. */
export function printJson(terminal: Terminal, value: unknown): void {
  terminal.out(`${JSON.stringify(value, undefined, 2)}\n`);
}

export function parseWhole(range: { readonly min: number; readonly max: number }) {
  return (text: string): number => {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= range.min && value <= range.max) return value;
    throw new InvalidArgumentError(`Use a whole number from ${range.min} to ${range.max}.`);
  };
}

function parseTimeout(text: string): number {
  const milliseconds = parseDuration(text);
  if (milliseconds !== undefined && milliseconds >= 1 && milliseconds <= 600_000)
    return milliseconds;
  throw new InvalidArgumentError('Use a number with ms, s or m, up to 10m, such as 5s.');
}
