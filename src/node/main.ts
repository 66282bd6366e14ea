// The node program: reads its configuration, opens the real ports, builds the node and serves until it
// is told to stop. Whatever ends it is said in one sentence, the last line of standard error.

import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { SystemClock } from '../kernel/clock.ts';
import { MatrixError } from '../kernel/errors.ts';
import { NODE_EXIT_CODES, nodeExitCodeOf } from '../kernel/node-exit-codes.ts';
import { formatHostPort } from '../kernel/quantity.ts';
import { SeededRandom } from '../kernel/random.ts';
import { type Config, parseConfig } from './config.ts';
import { helpText } from './config-options.ts';
import { build, type Node } from './node.ts';
import { createObserver, type NodeObserver } from './observer.ts';
import { addKvService } from './server/grpc-server.ts';
import { startHttpServer } from './server/http-server.ts';
import { DEFAULT_SERVER_LIMITS } from './server/limits.ts';
import { LevelEngine } from './storage/level-engine.ts';
import { GrpcWire } from './transport/grpc-wire.ts';
import { NodeTransport } from './transport/node-transport.ts';

function version(): string {
  const file = new URL('../../package.json', import.meta.url);
  const { version: text }: { version: string } = JSON.parse(readFileSync(file, 'utf8'));
  return text;
}

/** Says why, as the last line, and ends. */
function die(error: unknown, code = nodeExitCodeOf(error)): never {
  const text =
    error instanceof MatrixError
      ? error.text
      : String(error instanceof Error ? error.stack : error);
  process.stderr.write(`${text}\n`);
  process.exit(code);
}

async function run(config: Config, observed: NodeObserver): Promise<void> {
  const clock = new SystemClock();
  const random = new SeededRandom(randomBytes(4).readUInt32BE());
  const { observer } = observed;
  const directory = join(config.dataDirectory, 'db');
  await makeDirectory(config.dataDirectory);
  const engine = await LevelEngine.open({ directory, observer });
  const limits = {
    ...DEFAULT_SERVER_LIMITS,
    valueBytesMax: config.valueBytesMax,
    requestsInFlightMax: config.requestsMax,
  };
  let node: Node | undefined;
  const wire = new GrpcWire({
    addServices: (server) => {
      if (node === undefined) return;
      addKvService(server, { kv: node.kv, admin: node.admin, clock, observer, limits });
    },
  });
  const transport = new NodeTransport({
    wire,
    clock,
    random,
    observer,
    clusterId: config.clusterId,
    listenAddress: formatHostPort(config.listen),
    address: config.advertise,
  });
  const onFatal = (error: unknown): void => {
    observer.log.error({ error }, 'The node cannot go on');
    die(error);
  };
  const diskSpace = async (): Promise<{ capacityBytes: number; freeBytes: number }> => {
    const { blocks, bavail, bsize } = await statfs(config.dataDirectory);
    return { capacityBytes: blocks * bsize, freeBytes: bavail * bsize };
  };
  const ports = { clock, random, observer, engine, transport, diskSpace, onFatal };
  node = await build(ports, { ...config, version: version() });
  const { kv, admin } = node;
  await node.start();
  const metricsText = async (): Promise<{ contentType: string; body: string }> => ({
    contentType: observed.metricsContentType,
    body: await observed.metricsText(),
  });
  const http = await startHttpServer({
    ...config.http,
    kv,
    admin,
    clock,
    observer,
    limits,
    metricsText,
  });
  observer.log.info({ http: config.httpAdvertise, peers: config.advertise }, 'Node has started');
  await stopWanted(config);
  observer.log.info({}, 'Node is stopping');
  // First the leaderships, then the requests in flight: clients notice as little as possible.
  await node.leave();
  await http.close();
  await node.stop();
  await engine.close();
  observed.close();
  observer.log.info({}, 'Node has stopped');
}

async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new MatrixError('UNAVAILABLE', `Cannot use data directory ${path}: ${reason}`);
  }
}

/** Resolves on SIGTERM or SIGINT, or when the supervisor that holds standard input is gone. */
function stopWanted(config: Config): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
    if (!config.exitWithParent) return;
    process.stdin.on('end', resolve).on('error', resolve);
    process.stdin.resume();
  });
}

const argv = process.argv.slice(2);
if (argv.includes('--help') || argv.includes('-h')) {
  process.stdout.write(helpText());
  process.exit(NODE_EXIT_CODES.stopped);
}
let config: Config;
try {
  config = parseConfig(argv, process.env);
} catch (error) {
  die(error, NODE_EXIT_CODES.usage);
}
const { level, format } = config.log;
const observed = createObserver({ level, format, fields: { node: config.name } });
process.on('uncaughtException', (error) => die(error));
process.on('unhandledRejection', (error) => die(error));
run(config, observed).then(
  () => process.exit(NODE_EXIT_CODES.stopped),
  (error: unknown) => die(error),
);
