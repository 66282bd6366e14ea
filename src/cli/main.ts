// The process behind `mkv`: real streams, real environment, exit code. bin/mkv.js imports it.

import { readFileSync } from 'node:fs';
import { styleText } from 'node:util';
import { CliError, EXIT_CODES } from './exit-codes.ts';
import { parseObject, stringIn } from './json-reader.ts';
import { runProgram } from './program.ts';
import type { Terminal } from './terminal.ts';

/** The largest value that any cluster takes. */
const INPUT_BYTES_MAX = 8 * 2 ** 20;

const terminal: Terminal = {
  out: (data) => void process.stdout.write(data),
  note: (line) => void process.stderr.write(`${line}\n`),
  readInput,
  isInteractive: process.stdout.isTTY === true,
  strong: (text) => styleText('bold', text, { stream: process.stdout }),
};

async function readInput(): Promise<Uint8Array> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of process.stdin) {
    const bytes = Buffer.from(part);
    length += bytes.length;
    if (length > INPUT_BYTES_MAX) {
      throw new CliError('usage', 'The value on standard input is larger than 8 MiB', 'TOO_LARGE');
    }
    parts.push(bytes);
  }
  return Buffer.concat(parts);
}

// `mkv scan | head` closes the pipe early: then there is nothing left to say.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? EXIT_CODES.ok : EXIT_CODES.failed);
});

const manifest = parseObject(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
process.exitCode = await runProgram(process.argv.slice(2), {
  terminal,
  environment: process.env,
  version: stringIn(manifest, 'version'),
});
