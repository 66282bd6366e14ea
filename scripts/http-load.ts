// A load generator as a process of its own, so that it takes no time from who measures: a number of
// kept HTTP connections, each with one request at a time, for some seconds. Prints one line of JSON.
//
//   node scripts/http-load.ts set 64 5 http://127.0.0.1:8080,http://127.0.0.1:8081

import { performance } from 'node:perf_hooks';
import { encodeRequest, PipelinedConnection } from '../test/process/pipelined-connection.ts';

const KEYS = 10_000;
const VALUE = 'v'.repeat(100);

interface Load {
  readonly kind: 'set' | 'get';
  readonly connections: number;
  readonly seconds: number;
  readonly nodes: readonly string[];
}

export interface LoadResult {
  readonly perSecond: number;
  readonly medianMs: number;
  /** Slower than 99 of 100 requests. */
  readonly slowMs: number;
}

function parseLoad([kind, connections, seconds, nodes]: readonly string[]): Load {
  if ((kind !== 'set' && kind !== 'get') || nodes === undefined) {
    throw new Error('Usage: http-load.ts set|get CONNECTIONS SECONDS URL,URL,...');
  }
  const parts = nodes.split(',');
  return { kind, connections: Number(connections), seconds: Number(seconds), nodes: parts };
}

function request(kind: 'set' | 'get'): string {
  const path = `/v1/kv/load-${Math.floor(Math.random() * KEYS)}`;
  return kind === 'set'
    ? encodeRequest({ method: 'PUT', path, body: VALUE })
    : encodeRequest({ method: 'GET', path });
}

/** A get of a missing key would be no success: every key is there before gets are counted. */
async function fill(nodes: readonly string[]): Promise<void> {
  const connection = await PipelinedConnection.open(nodes[0] ?? '');
  for (let first = 0; first < KEYS; first += 100) {
    const puts = Array.from({ length: 100 }, (_, index) =>
      encodeRequest({ method: 'PUT', path: `/v1/kv/load-${first + index}`, body: VALUE }),
    );
    await connection.send(puts);
  }
  connection.close();
}

async function run({ kind, connections, seconds, nodes }: Load): Promise<LoadResult> {
  if (kind === 'get') await fill(nodes);
  const open = await Promise.all(
    Array.from({ length: connections }, (_, index) =>
      PipelinedConnection.open(nodes[index % nodes.length] ?? ''),
    ),
  );
  const times: number[] = [];
  const start = performance.now();
  const end = start + seconds * 1_000;
  const work = async (connection: PipelinedConnection): Promise<void> => {
    let before = performance.now();
    while (before < end) {
      await connection.send([request(kind)]);
      const now = performance.now();
      times.push(now - before);
      before = now;
    }
    connection.close();
  };
  await Promise.all(open.map(work));
  const took = (performance.now() - start) / 1_000;
  times.sort((a, b) => a - b);
  const at = (share: number): number => times[Math.floor(times.length * share)] ?? Number.NaN;
  return { perSecond: times.length / took, medianMs: at(0.5), slowMs: at(0.99) };
}

if (import.meta.main) {
  console.log(JSON.stringify(await run(parseLoad(process.argv.slice(2)))));
}
