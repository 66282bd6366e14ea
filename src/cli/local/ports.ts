// Whether the ports of a local cluster are free: asked before anything starts, as one sentence now is
// better than a node that fails later.

import { createServer } from 'node:net';
import { CliError } from '../exit-codes.ts';
import type { LocalCluster } from './cluster-file.ts';

export const LOCAL_HOST = '127.0.0.1';

export async function checkPorts(cluster: LocalCluster): Promise<void> {
  const uses = cluster.nodes.flatMap(({ name, httpPort, peerPort }) => [
    { port: httpPort, use: `HTTP of ${name}` },
    { port: peerPort, use: `peers of ${name}` },
  ]);
  const problems = await Promise.all(uses.map(({ port }) => tryPort(port)));
  const at = problems.findIndex((problem) => problem !== undefined);
  const use = uses[at];
  if (use === undefined) return;
  const what =
    problems[at] === 'EADDRINUSE'
      ? 'is in use by another program'
      : `cannot be used (${problems[at]})`;
  throw new CliError(
    'failed',
    `Port ${use.port} (${use.use}) ${what}: stop that program, or choose other ports with --port`,
  );
}

/** Undefined when this process can listen there. */
function tryPort(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error) => {
      resolve('code' in error ? String(error.code) : error.message);
    });
    server.listen({ host: LOCAL_HOST, port, exclusive: true }, () => {
      server.close(() => resolve(undefined));
    });
  });
}
