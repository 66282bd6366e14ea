// A row of free ports with the peers' ports 1000 above, as the local cluster uses them. Below 32768, from
// where Linux takes the ports of outgoing connections.

import { createServer } from 'node:net';

const LOWEST = 20_000;
const ROWS = 500;
const ROW = 20;
const PEER_OFFSET = 1_000;
const TRIES_MAX = 50;

/** The first of `count` ports. Another program may take one in the next moment: then a start fails loudly. */
export async function findFreePorts(count: number): Promise<number> {
  for (let tries = 0; tries < TRIES_MAX; tries += 1) {
    const first = LOWEST + ROW * Math.floor(Math.random() * ROWS);
    const wanted = Array.from({ length: count }, (_, index) => first + index);
    const all = [...wanted, ...wanted.map((port) => port + PEER_OFFSET)];
    const free = await Promise.all(all.map(isFree));
    if (free.every(Boolean)) return first;
  }
  throw new Error(`No row of ${count} free ports in ${TRIES_MAX} tries`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => {
      server.close(() => resolve(true));
    });
  });
}
