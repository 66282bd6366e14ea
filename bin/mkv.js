#!/usr/bin/env node
// The `mkv` command. The sources are TypeScript that Node runs as they are, which needs a newer
// Node than many machines have. So an old Node starts the pinned one (the npm package `node`, brought
// by `npm ci`) with the same arguments, passes signals on and ends as it ends. Everything below this
// file can rely on the pinned version, and on process.execPath to start more processes.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import module, { createRequire } from 'node:module';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const NODE_MAJOR_MIN = 24;

/** The pinned node program, or undefined when the packages are not installed. */
function findPinnedNode() {
  try {
    const home = dirname(createRequire(import.meta.url).resolve('node/package.json'));
    const program = join(home, 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
    return existsSync(program) && program !== process.execPath ? program : undefined;
  } catch {
    return undefined; // not installed: the caller says what to do
  }
}

/** Runs this file again with the given program; this process only waits and passes signals on. */
function runAgainWith(program) {
  const args = [...process.execArgv, fileURLToPath(import.meta.url), ...process.argv.slice(2)];
  const child = spawn(program, args, { stdio: 'inherit' });
  // From a terminal the child gets Ctrl-C itself; a second one from here does no harm, since closing
  // twice is closing once.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => child.kill(signal));
  }
  child.on('error', (error) => {
    console.error(`Cannot start ${program}: ${error.message}`);
    process.exitCode = 1;
  });
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? 128 + (constants.signals[signal] ?? 0);
  });
}

if (Number.parseInt(process.versions.node, 10) >= NODE_MAJOR_MIN) {
  // Compiled code is kept in the temporary directory: commands and nodes start in half the time.
  module.enableCompileCache();
  await import('../src/cli/main.ts');
} else {
  const pinned = findPinnedNode();
  if (pinned === undefined) {
    console.error(
      `mkv needs Node ${NODE_MAJOR_MIN} or newer and this is ${process.version}: ` +
        'run `npm ci` once, which brings a suitable Node, then use `npx mkv` or `npm start`.',
    );
    process.exitCode = 1;
  } else {
    runAgainWith(pinned);
  }
}
