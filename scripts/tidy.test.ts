// One planted wrong file for each house rule, and next to it what must stay allowed: a check that finds
// nothing looks the same as a check that does not work.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { checkProject } from './tidy-checks.ts';

const GOOD = { path: 'src/kernel/good.ts', text: "import type { A } from './other.ts';\n" };

/** What the rules say about these texts, given as path -> text, beside one file without fault. */
function problemsOf(texts: Readonly<Record<string, string>>): readonly string[] {
  const planted = Object.entries(texts).map(([path, text]) => ({ path, text }));
  return checkProject([GOOD, ...planted]).problems;
}

function assertRefused(path: string, text: string, expected: RegExp): void {
  const problems = problemsOf({ [path]: text });
  assert.equal(problems.length, 1, `expected one problem, got: ${problems.join('\n') || 'none'}`);
  assert.match(problems[0] ?? '', expected);
}

function assertAllowed(path: string, text: string): void {
  assert.deepEqual(problemsOf({ [path]: text }), []);
}

/** Room rules: path of the wrong file, what it imports, what is said. */
const WRONG_IMPORTS: readonly (readonly [string, string, RegExp])[] = [
  ['src/kernel/a.ts', 'node:assert', /src\/kernel must not import node:assert/],
  ['src/kernel/a.ts', '../wire/grpc.ts', /src\/kernel must not import src\/wire/],
  ['src/node/raft/a.ts', '../storage/engine.ts', /raft must not import src\/node\/storage/],
  ['src/node/raft/a.ts', 'node:events', /raft must not import node:events/],
  ['src/node/storage/a.ts', 'node:zlib', /storage must not import node:zlib/],
  ['src/node/storage/checksum.ts', 'node:fs', /storage must not import node:fs/],
  ['src/node/shard/a.ts', '../../wire/grpc.ts', /shard must not import src\/wire/],
  ['src/node/prophet/a.ts', '../shard/replica.ts', /prophet must not import src\/node\/shard/],
  ['src/node/prophet/a.ts', '../raft/raft.ts', /prophet must not import src\/node\/raft/],
  ['src/node/server/a.ts', '../store/loop.ts', /server must not import src\/node\/store/],
  ['src/node/store/a.ts', '../routing/router.ts', /store must not import src\/node\/routing/],
  ['src/client/a.ts', '../node/config.ts', /src\/client must not import src\/node /],
  ['src/cli/a.ts', '../node/raft/raft.ts', /src\/cli must not import src\/node\/raft/],
  ['src/operator/a.ts', '../node/node.ts', /src\/operator must not import src\/node /],
  ['src/wire/a.ts', '../client/client.ts', /src\/wire must not import src\/client/],
  ['src/node/node.ts', '../../scripts/tidy.ts', /must not import what is in no room/],
  // Doors of rooms and of packages.
  ['src/node/store/a.ts', '../raft/leader.ts', /leader\.ts is no door of src\/node\/raft/],
  ['src/node/shard/a.ts', 'classic-level', /classic-level may be imported only in/],
  ['src/node/transport/a.ts', '@grpc/grpc-js', /@grpc\/grpc-js may be imported only in/],
  ['src/node/server/a.ts', 'fastify', /fastify may be imported only in/],
  ['src/node/config.ts', 'pino', /pino may be imported only in/],
  ['src/node/store/a.ts', 'prom-client', /prom-client may be imported only in/],
  ['src/client/a.ts', '@bufbuild/protobuf/wkt', /@bufbuild\/protobuf may be imported only in/],
  ['src/client/a.ts', 'commander', /commander may be imported only in/],
  ['src/cli/a.ts', 'left-pad', /left-pad has no door/],
];

const RIGHT_IMPORTS: readonly (readonly [string, string])[] = [
  ['src/node/raft/a.ts', '../../kernel/ids.ts'],
  ['src/node/raft/a.ts', './leader.ts'],
  ['src/node/storage/checksum.ts', 'node:zlib'],
  ['src/node/storage/level-engine.ts', 'node:fs/promises'],
  ['src/node/storage/level-engine.ts', 'classic-level'],
  ['src/node/prophet/a.ts', '../shard/state-machine.ts'],
  ['src/node/store/a.ts', '../raft/raft.ts'],
  ['src/node/node.ts', './store/loop.ts'],
  ['src/node/transport/a.ts', '../../wire/gen/matrixkv/v1/peer_pb.ts'],
  ['src/wire/a.ts', '@bufbuild/protobuf'],
  ['src/node/observer.ts', 'pino'],
  ['src/cli/a.ts', 'commander'],
  ['src/kernel/a.test.ts', 'node:test'],
];

/** Banned words: path of the wrong file, its text, what is said. */
const WRONG_WORDS: readonly (readonly [string, string, RegExp])[] = [
  ['src/node/store/a.ts', 'const now = Date.now();', /use the Clock port/],
  ['src/node/store/a.ts', 'const now = new Date();', /use the Clock port/],
  ['src/node/store/a.ts', 'setTimeout(run, 5);', /use the Clock port/],
  ['src/kernel/backoff.ts', 'setImmediate(run);', /use the Clock port/],
  ['src/client/a.ts', 'const now = performance.now();', /use the Clock port/],
  ['src/client/a.ts', 'const s = AbortSignal.timeout(5);', /use the Clock port/],
  ['src/client/a.ts', 'globalThis.setTimeout(run, 5);', /use the Clock port/],
  ['src/node/store/a.ts', 'const n = Math.random();', /use the Random port/],
  ['src/client/a.ts', 'const id = randomUUID();', /use the Random port/],
  ['src/client/a.ts', 'const id = crypto.randomUUID();', /use the Random port/],
  ['src/node/config.ts', 'const a = process.env;', /use the Observer port/],
  ['src/node/store/a.ts', "console.log('hello');", /use the Observer port/],
  ['src/node/store/a.ts', 'readFileSync(path);', /use the promise form/],
  ['src/node/shard/a.ts', 'a.localeCompare(b);', /same answer everywhere/],
  ['src/node/raft/a.ts', 'export async function step() {}', /use a message/],
  ['src/node/raft/a.ts', 'export type P = Promise<void>;', /use a message/],
  ['src/node/prophet/scheduler.ts', 'await run();', /use a message/],
  ['src/kernel/a.ts', 'debugger;', /use nothing/],
  ['src/node/store/a.ts', `const text = \`\${\`a\${Date.now()}\`}\`;`, /use the Clock port/],
];

const RIGHT_WORDS: readonly (readonly [string, string])[] = [
  ['src/kernel/clock.ts', 'setTimeout(run, 5); performance.now();'],
  ['src/kernel/random.ts', 'crypto.getRandomValues(bytes);'],
  ['src/node/main.ts', 'process.exit(randomInt(1));'],
  ['src/cli/a.ts', "console.log('hello', Date.now());"],
  ['src/node/store/a.test.ts', 'setTimeout(run, Math.random());'],
  ['src/node/storage/engine-suite.ts', 'setTimeout(run, 5);'],
  ['test/sim/main.ts', "console.log('hello', Date.now());"],
  ['src/node/store/a.ts', '// Date.now() and await in a comment\n/* setTimeout */'],
  ['src/node/store/a.ts', "const text = 'setTimeout(run)' + `Math.random()`;"],
  ['src/node/store/a.ts', 'const pattern = /["`]/; // a quote that opens nothing: setTimeout'],
  ['src/node/store/a.ts', 'socket.setTimeout(5); this.process.run();'],
  ['src/node/shard/a.ts', 'engine.getSync(key);'],
  ['src/node/store/a.ts', 'await run();'],
];

const OUTSIDE = 'const a = 1;\n';

describe('tidy', () => {
  for (const [path, from, expected] of WRONG_IMPORTS) {
    test(`refuses ${from} in ${path}`, () => {
      assertRefused(path, `import { a } from '${from}';\n`, expected);
      assertRefused(path, `const a = await1(import('${from}'));\n`, expected);
      assertRefused(path, `import '${from}';\n`, expected);
    });
  }

  for (const [path, from] of RIGHT_IMPORTS) {
    test(`allows ${from} in ${path}`, () => {
      assertAllowed(path, `import { a } from '${from}';\n`);
    });
  }

  for (const [path, text, expected] of WRONG_WORDS) {
    test(`refuses ${text} in ${path}`, () => assertRefused(path, text, expected));
  }

  for (const [path, text] of RIGHT_WORDS) {
    test(`allows ${text} in ${path}`, () => assertAllowed(path, text));
  }

  test('sees no import in a string or a comment', () => {
    assertAllowed('src/kernel/a.ts', `// import 'fastify'\nconst a = "from 'fastify'";\n`);
  });

  test('sees an import over many lines and the line where it ends', () => {
    const text = "import {\n  a,\n  b,\n} from 'fastify';\n";
    assertRefused('src/client/a.ts', text, /^src\/client\/a\.ts:4: /);
  });

  test('refuses a file in no room', () => {
    assertRefused('src/stray.ts', OUTSIDE, /belongs to no room/);
    assertRefused('src/node/stray/a.ts', OUTSIDE, /belongs to no room/);
  });

  test('refuses names that say nothing', () => {
    assertRefused('src/kernel/utils.ts', OUTSIDE, /"utils" says nothing/);
    assertRefused('src/kernel/index.ts', OUTSIDE, /"index" says nothing/);
    assertRefused('src/client/helpers/retry.ts', OUTSIDE, /"helpers" says nothing/);
    assertRefused('test/common/a.test.ts', OUTSIDE, /"common" says nothing/);
    assertAllowed('src/kernel/log-index.ts', OUTSIDE);
  });

  test('refuses unfinished work, in comments too', () => {
    assertRefused('src/kernel/a.ts', `${OUTSIDE}// ${'TO'}DO later\n`, /a\.ts:2: .*finish it/);
    assertRefused('test/sim/a.ts', `// ${'FIX'}ME\n`, /finish it/);
  });

  test('refuses files that are too long', () => {
    assertRefused('src/kernel/a.ts', OUTSIDE.repeat(501), /501 lines, at most 500/);
    assertAllowed('src/kernel/a.ts', OUTSIDE.repeat(500));
    assertRefused('src/kernel/a.test.ts', OUTSIDE.repeat(801), /801 lines, at most 800/);
    assertAllowed('src/kernel/a.test.ts', OUTSIDE.repeat(800));
    assertAllowed('src/wire/gen/matrixkv/v1/kv_pb.ts', OUTSIDE.repeat(5000));
  });

  test('refuses a ring of imports, of any length and with types only', () => {
    const ring = problemsOf({
      'src/kernel/a.ts': "import { b } from './b.ts';\n",
      'src/kernel/b.ts': "import type { C } from './c.ts';\n",
      'src/kernel/c.ts': "import { a } from './a.ts';\n",
    });
    assert.equal(ring.length, 1);
    assert.match(ring[0] ?? '', /ring: src\/kernel\/a\.ts -> .*b\.ts -> .*c\.ts -> .*a\.ts$/);
    const diamond = problemsOf({
      'src/kernel/a.ts': "import './b.ts';\nimport './c.ts';\n",
      'src/kernel/b.ts': "import './d.ts';\n",
      'src/kernel/c.ts': "import './d.ts';\n",
      'src/kernel/d.ts': OUTSIDE,
    });
    assert.deepEqual(diamond, []);
  });

  test('fails when it saw no files', () => {
    assert.match(checkProject([]).problems[0] ?? '', /saw no files/);
    assert.match(
      checkProject([{ path: 'src/kernel/a.ts', text: OUTSIDE }]).problems[0] ?? '',
      /no imports/,
    );
  });

  test('fails as a program in an empty folder', () => {
    const folder = mkdtempSync(join(tmpdir(), 'tidy-'));
    try {
      const program = join(import.meta.dirname, 'tidy.ts');
      const run = spawnSync(process.execPath, [program], { cwd: folder, encoding: 'utf8' });
      assert.equal(run.status, 1);
      assert.match(run.stderr, /saw no files/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

/** Function heads that the length rule must see; the body is put between the braces. */
const HEADS: readonly (readonly [string, string, string])[] = [
  ['a function', 'export function run(a: number): void {', '}'],
  ['an async function', 'async function run<T extends Map<string, A>>(a: T): Promise<B[]> {', '}'],
  ['an arrow function', 'const run = async (a: number): Promise<void> => {', '};'],
  ['a bare arrow function', 'const run = a => {', '};'],
  ['a method', 'class A {\n  async *run(a: string) {', '}\n}'],
  ['a private method', 'class A {\n  #run(\n    a: string,\n  ): string | undefined {', '}\n}'],
  ['a constructor', 'class A {\n  constructor(options: { a: number }) {', '}\n}'],
  ['a callback', "list.forEach((a) => {\n  if (a) b('}');", '});'],
  ['a function with a written-out result', 'function run(): { a: number } {', '}'],
  ['a type guard', 'function run(a: unknown): a is string {', '}'],
];

describe('the length of functions', () => {
  for (const [what, head, tail] of HEADS) {
    test(`is limited for ${what}`, () => {
      const short = `${head}\n${'  b();\n'.repeat(60)}${tail}\n`;
      assertAllowed('src/kernel/a.ts', short);
      const long = `${head}\n${'  b();\n'.repeat(70)}${tail}\n`;
      assertRefused('src/kernel/a.ts', long, /has 7\d lines, at most 70/);
    });
  }

  test('does not count lists of tests, but functions inside them', () => {
    const body = '  b();\n'.repeat(80);
    assertAllowed('src/kernel/a.test.ts', `describe('a', () => {\n${body}});\n`);
    assertAllowed(
      'src/kernel/a.test.ts',
      `test('a, b', { timeout: 5 }, async (t) => {\n${body}});\n`,
    );
    assertAllowed('src/kernel/a.test.ts', `describe.only('a', () => {\n${body}});\n`);
    const inner = `describe('a', () => {\nfunction b() {\n${body}}\n});\n`;
    assertRefused('src/kernel/a.test.ts', inner, /b has 82 lines/);
  });

  test('does not count classes, types, objects and loops', () => {
    const body = '  b: c;\n'.repeat(80);
    for (const head of [
      'class A {',
      'class A extends B {',
      'interface A {',
      'type A = {',
      'const a = {',
      'interface A {\n  run(): void;\n}\nexport interface B {',
      'for (const a of b) {',
      'if (a) {',
    ]) {
      assertAllowed('src/kernel/a.ts', `${head}\n${body}}\n`);
    }
  });
});
