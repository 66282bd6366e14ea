// The house rules of MatrixKV as tables. scripts/tidy.ts reads them and scripts/tidy-checks.ts applies
// them; this file is the one to edit when a room, a package or a rule changes.
//
// A path ending in '/' stands for a whole folder, one ending in '.ts' for a single file.

export interface Room {
  /** Rooms that may be imported, or single files of a room. The room itself always may. */
  readonly mayImport: readonly string[];
  /** Who may import `node:` modules: everyone, no one, or these files with these modules. */
  readonly builtins: 'all' | 'none' | Readonly<Record<string, readonly string[] | 'all'>>;
  /** The files through which other rooms come in; without it every file is open. */
  readonly doors?: readonly string[];
  /** True for a folder whose subfolders are rooms of their own: only its own files belong to it. */
  readonly isShallow?: boolean;
}

export const ROOMS: Readonly<Record<string, Room>> = {
  'src/kernel': { mayImport: [], builtins: 'none' },

  'src/node/raft': {
    mayImport: ['src/kernel'],
    builtins: 'none',
    doors: ['raft.ts', 'messages.ts', 'core.ts', 'describe.ts'],
  },
  'src/node/storage': {
    mayImport: ['src/kernel'],
    builtins: { 'level-engine.ts': 'all', 'checksum.ts': ['node:zlib'] },
    doors: [
      'engine.ts',
      'level-engine.ts',
      'memory-engine.ts',
      'overlay-batch.ts',
      'read-pages.ts',
      'keys.ts',
      'checksum.ts',
    ],
  },
  'src/node/shard': {
    mayImport: ['src/kernel', 'src/node/raft', 'src/node/storage'],
    builtins: 'none',
  },
  'src/node/prophet': {
    mayImport: [
      'src/kernel',
      'src/node/shard/state-machine.ts',
      'src/node/shard/shard-meta.ts',
      'src/node/shard/shard-meta-codec.ts',
    ],
    builtins: 'none',
  },
  'src/node/store': {
    mayImport: [
      'src/kernel',
      'src/node/raft',
      'src/node/storage',
      'src/node/shard',
      'src/node/transport/transport.ts',
    ],
    builtins: 'none',
  },

  'src/wire': { mayImport: ['src/kernel'], builtins: 'none' },

  'src/node/transport': {
    mayImport: ['src/kernel', 'src/wire', 'src/node/raft', 'src/node/shard'],
    builtins: 'all',
  },
  'src/node/routing': {
    mayImport: [
      'src/kernel',
      'src/wire',
      'src/node/raft',
      'src/node/shard',
      'src/node/store',
      'src/node/transport',
      'src/node/prophet',
    ],
    builtins: 'all',
  },
  'src/node/server': {
    mayImport: ['src/kernel', 'src/wire', 'src/node/routing', 'src/node/shard'],
    builtins: 'all',
  },
  'src/node': {
    mayImport: [
      'src/kernel',
      'src/wire',
      'src/node/raft',
      'src/node/storage',
      'src/node/shard',
      'src/node/prophet',
      'src/node/store',
      'src/node/transport',
      'src/node/routing',
      'src/node/server',
    ],
    builtins: 'all',
    isShallow: true,
  },

  'src/client': { mayImport: ['src/kernel', 'src/wire'], builtins: 'all' },
  'src/cli': { mayImport: ['src/client', 'src/kernel', 'src/wire'], builtins: 'all' },
  'src/operator': { mayImport: ['src/client', 'src/kernel', 'src/wire'], builtins: 'all' },
};

/** A package is known to few files, so that it can be replaced by changing those. Unlisted: refused. */
export const PACKAGE_DOORS: Readonly<Record<string, readonly string[]>> = {
  '@bufbuild/protobuf': ['src/wire/'],
  '@grpc/grpc-js': [
    'src/wire/grpc.ts',
    'src/node/transport/grpc-wire.ts',
    'src/node/server/grpc-server.ts',
    'src/client/channel.ts',
  ],
  '@grpc/reflection': ['src/node/server/grpc-server.ts'],
  'classic-level': ['src/node/storage/level-engine.ts'],
  'cli-table3': ['src/cli/'],
  commander: ['src/cli/'],
  fastify: ['src/node/server/http-server.ts'],
  'grpc-health-check': ['src/node/server/grpc-server.ts'],
  pino: ['src/node/observer.ts', 'src/operator/observer.ts'],
  'pino-pretty': ['src/node/observer.ts', 'src/cli/'],
  'prom-client': ['src/node/observer.ts', 'src/operator/observer.ts'],
};

export interface BannedWord {
  readonly what: string;
  readonly pattern: RegExp;
  readonly instead: string;
  /** Where it is allowed: folders and files, or name beginnings. */
  readonly allowedIn: readonly string[];
  /** Where the rule holds at all; without it, everywhere in src. */
  readonly onlyIn?: readonly string[];
}

const COMMAND_LINE = ['src/cli/', 'src/node/main.ts', 'src/operator/main.ts'];

/** Looked for in code without comments and strings; tests are free to use all of these. */
export const BANNED_WORDS: readonly BannedWord[] = [
  {
    what: 'wall-clock time and timers',
    pattern:
      /(?<![.\w#])(?:setTimeout|setInterval|setImmediate|performance)\b|\bDate[.(]|\bnew Date\b|\bAbortSignal\.timeout\b|\bglobalThis\b/,
    instead: 'the Clock port',
    allowedIn: ['src/kernel/clock.ts', 'src/cli/'],
  },
  {
    what: 'chance',
    pattern:
      /\bMath\.random\b|\bcrypto\.(?:random|getRandom)\w*|(?<![.\w#])(?:random(?:UUID|Bytes|Int|Fill)|getRandomValues)\w*\(/,
    instead: 'the Random port',
    allowedIn: ['src/kernel/random.ts', 'src/node/main.ts'],
  },
  {
    what: 'the process and the console',
    pattern: /(?<![.\w#])(?:process|console)\.\w/,
    instead: 'the Observer port, or an option handed in by main.ts',
    allowedIn: COMMAND_LINE,
  },
  {
    what: 'a synchronous system call',
    pattern:
      /\b(?:access|appendFile|chmod|close|copyFile|cp|exec|execFile|exists|fsync|lstat|mkdir|mkdtemp|open|read|readdir|readFile|realpath|rename|rm|rmdir|spawn|stat|truncate|unlink|write|writeFile)Sync\b/,
    instead: 'the promise form, outside the turn',
    allowedIn: [...COMMAND_LINE, 'src/node/config.ts'],
  },
  {
    what: 'what differs between machines or runs',
    pattern: /\blocaleCompare\b|\btoLocale\w+|\bWeakRef\b|\bFinalizationRegistry\b/,
    instead: 'something that gives the same answer everywhere',
    allowedIn: ['src/cli/'],
  },
  {
    what: 'waiting',
    pattern: /\basync\b|\bawait\b|\bPromise\b/,
    instead: 'a message that comes back into the inbox',
    allowedIn: [],
    onlyIn: [
      'src/node/raft/',
      'src/node/prophet/scheduler',
      'src/node/prophet/policies/',
      'src/operator/plan.ts',
      'src/operator/policies/',
    ],
  },
  { what: 'debugger', pattern: /\bdebugger\b/, instead: 'nothing', allowedIn: [] },
];

/** Names that say nothing about what is inside, for files and folders alike. */
export const EMPTY_NAMES: readonly string[] = [
  'common',
  'helper',
  'helpers',
  'index',
  'misc',
  'util',
  'utils',
];

/** Unfinished work belongs in an issue. Spelled so that this line does not find itself. */
export const UNFINISHED = /\b(?:FIX[M]E|TO[D]O|XX[X])\b/;

export const FILE_LINES_MAX = 500;
export const TEST_FILE_LINES_MAX = 800;
export const FUNCTION_LINES_MAX = 70;

/** Calls whose function argument is a list of tests, not a function to fit on a screen. */
export const TEST_CALLS: readonly string[] = ['describe', 'suite', 'test', 'it'];

export function isGenerated(path: string): boolean {
  return path.startsWith('src/wire/gen/');
}

export function isTest(path: string): boolean {
  return path.startsWith('test/') || path.endsWith('.test.ts') || path.endsWith('-suite.ts');
}
