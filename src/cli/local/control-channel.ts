// How `mkv local stop node3` reaches the running `mkv local`: a Unix socket in the directory, one JSON
// line in, one out. Only who holds the directory's lock listens on it.

import { createHash } from 'node:crypto';
import { chmodSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { CliError } from '../exit-codes.ts';
import { type JsonObject, parseObject } from '../json-reader.ts';
import { reasonOf } from './cluster-file.ts';

/** The kernel's limit is 104 to 108 bytes, by system. */
const SOCKET_PATH_BYTES_MAX = 100;
const CONNECTIONS_MAX = 16;
const LINE_BYTES_MAX = 64 * 1024;
const CONNECT_MS_MAX = 2_000;
const ANSWER_MS_MAX = 60_000;

export type ControlHandler = (request: JsonObject) => Promise<JsonObject>;

/** In the directory itself where the system allows it, else a short name made from its path. */
export function socketPathsOf(directory: string): readonly string[] {
  const absolute = resolve(directory);
  const inside = join(absolute, 'control.sock');
  const hash = createHash('sha256').update(absolute).digest('hex').slice(0, 16);
  const outside = join(tmpdir(), `matrixkv-${hash}.sock`);
  return Buffer.byteLength(inside) <= SOCKET_PATH_BYTES_MAX ? [inside, outside] : [outside];
}

export interface ControlServer {
  close(): Promise<void>;
}

/** Refuses when another supervisor listens for this directory. */
export async function openControl(
  directory: string,
  handler: ControlHandler,
): Promise<ControlServer> {
  const problems: string[] = [];
  for (const path of socketPathsOf(directory)) {
    if (await isAnswered(path)) throw alreadyRunning(directory);
    // Nobody answers there: it is left over from a supervisor that was killed.
    await rm(path, { force: true }).catch(() => {});
    try {
      return await listen(path, handler);
    } catch (error) {
      problems.push(reasonOf(error));
    }
  }
  throw new CliError(
    'failed',
    `Cannot open a control socket for ${directory}: ${problems.join('; ')}`,
  );
}

export function alreadyRunning(directory: string): CliError {
  return new CliError(
    'failed',
    `A local cluster runs in ${directory} already: stop it with Ctrl-C where it was started, ` +
      'or choose another --dir (and --port)',
  );
}

export async function isRunning(directory: string): Promise<boolean> {
  for (const path of socketPathsOf(directory)) if (await isAnswered(path)) return true;
  return false;
}

/** Undefined when no supervisor runs for this directory. */
export async function askControl(
  directory: string,
  request: JsonObject,
): Promise<JsonObject | undefined> {
  for (const path of socketPathsOf(directory)) {
    const socket = await connect(path);
    if (socket !== undefined) return exchange(socket, request);
  }
  return undefined;
}

async function isAnswered(path: string): Promise<boolean> {
  const socket = await connect(path);
  socket?.destroy();
  return socket !== undefined;
}

function connect(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    const give = (result: Socket | undefined): void => {
      clearTimeout(timer);
      resolve(result);
    };
    const timer = setTimeout(() => {
      socket.destroy();
      give(undefined);
    }, CONNECT_MS_MAX);
    socket.once('connect', () => give(socket));
    socket.on('error', () => give(undefined));
  });
}

function listen(path: string, handler: ControlHandler): Promise<ControlServer> {
  return new Promise((resolve, reject) => {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
      socket.on('error', () => {}); // The asker went away: there is no one to tell.
      readLine(socket)
        .then(async (line) => writeAnswer(socket, await handleLine(line, handler)))
        .catch(() => socket.destroy());
    });
    server.maxConnections = CONNECTIONS_MAX;
    server.once('error', reject);
    server.listen(path, () => {
      chmodSync(path, 0o600);
      resolve({ close: () => closeServer(server, sockets) });
    });
  });
}

async function handleLine(line: string, handler: ControlHandler): Promise<JsonObject> {
  try {
    return await handler(parseObject(line));
  } catch (error) {
    const { message, code } = CliError.from(error);
    return { error: message, code };
  }
}

function writeAnswer(socket: Socket, answer: JsonObject): void {
  socket.end(`${JSON.stringify(answer)}\n`);
}

async function exchange(socket: Socket, request: JsonObject): Promise<JsonObject> {
  const timer = setTimeout(() => socket.destroy(), ANSWER_MS_MAX);
  try {
    socket.write(`${JSON.stringify(request)}\n`);
    const answer = parseObject(await readLine(socket));
    const { error, code } = answer;
    if (typeof error !== 'string') return answer;
    throw new CliError(code === 'INVALID_ARGUMENT' ? 'usage' : 'failed', error);
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError('failed', `The running \`mkv local\` gave no answer: ${reasonOf(error)}`);
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

/** The first line, at most LINE_BYTES_MAX long. */
function readLine(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      text += chunk;
      const end = text.indexOf('\n');
      if (end >= 0) resolve(text.slice(0, end));
      else if (text.length > LINE_BYTES_MAX) socket.destroy(new Error('The line is too long'));
    });
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('The connection ended early')));
  });
}

/** An answer that is on its way has a moment to get out; whoever only holds a connection has none. */
async function closeServer(server: Server, sockets: ReadonlySet<Socket>): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  for (const socket of sockets) socket.destroySoon();
  await closed;
}
