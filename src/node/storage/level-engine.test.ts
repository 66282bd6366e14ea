import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { EMPTY, type KeyRange, utf8 } from '../../kernel/bytes.ts';
import { type ErrorCode, MatrixError } from '../../kernel/errors.ts';
import { type Logger, SILENT } from '../../kernel/observer.ts';
import { drawBytes, SeededRandom } from '../../kernel/random.ts';
import { CorruptRecordError, openRecord, sealRecord } from './checksum.ts';
import { engineSuite } from './engine-suite.ts';
import { LevelEngine } from './level-engine.ts';

const ALL: KeyRange = { start: EMPTY, end: EMPTY };

function makeDirectory(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'matrixkv-level-'));
}

function openAt(directory: string): Promise<LevelEngine> {
  return LevelEngine.open({ directory, observer: SILENT });
}

engineSuite('LevelEngine', async () => {
  const directory = await makeDirectory();
  let engine = await openAt(directory);
  return {
    engine,
    reopen: async () => {
      await engine.close();
      engine = await openAt(directory);
      return engine;
    },
    cleanUp: async () => {
      await engine.close();
      await rm(directory, { recursive: true });
    },
  };
});

async function ownDirectory(context: TestContext): Promise<string> {
  const directory = await makeDirectory();
  context.after(() => rm(directory, { recursive: true }));
  return directory;
}

/** A closed database with a table file and a write-ahead log. */
async function filledDirectory(context: TestContext): Promise<string> {
  const directory = await ownDirectory(context);
  const engine = await openAt(directory);
  await engine.write([{ type: 'put', key: utf8('a'), value: utf8('1') }]);
  await engine.compact(ALL);
  await engine.write([{ type: 'put', key: utf8('b'), value: utf8('2') }]);
  await engine.close();
  return directory;
}

async function fileIn(directory: string, pattern: RegExp): Promise<string> {
  const name = (await readdir(directory)).find((found) => pattern.test(found));
  assert.ok(name !== undefined, `No file like ${pattern}`);
  return join(directory, name);
}

function isRefusal(code: ErrorCode, ...words: readonly string[]): (error: unknown) => boolean {
  return (error) =>
    error instanceof MatrixError &&
    error.code === code &&
    words.every((word) => error.message.includes(word));
}

test('open() makes the directory and all above it', async (context) => {
  const directory = join(await ownDirectory(context), 'not', 'there', 'yet');
  const engine = await openAt(directory);
  await engine.close();
  assert.ok((await readdir(directory)).includes('CURRENT'));
});

test('open() refuses a directory that is in use, and takes it once it is free', async (context) => {
  const directory = await ownDirectory(context);
  const first = await openAt(directory);
  await assert.rejects(openAt(directory), isRefusal('UNAVAILABLE', directory, 'another process'));
  await first.write([{ type: 'put', key: utf8('a'), value: utf8('1') }]);
  await first.close();
  const second = await openAt(directory);
  assert.ok(second.get(utf8('a')));
  await second.close();
});

test('open() refuses a place where no directory can be made', async (context) => {
  const file = join(await ownDirectory(context), 'file');
  await writeFile(file, '');
  await assert.rejects(openAt(file), isRefusal('UNAVAILABLE', file));
  await assert.rejects(openAt(join(file, 'below')), isRefusal('UNAVAILABLE', file));
});

test('open() refuses a damaged database instead of starting with less', async (context) => {
  const damages: Readonly<Record<string, (directory: string) => Promise<void>>> = {
    'no CURRENT': async (directory) => rm(join(directory, 'CURRENT')),
    'empty CURRENT': async (directory) => truncate(join(directory, 'CURRENT')),
    'empty manifest': async (directory) => truncate(await fileIn(directory, /^MANIFEST/)),
    'missing table': async (directory) => rm(await fileIn(directory, /\.ldb$/)),
  };
  for (const [name, damage] of Object.entries(damages)) {
    await context.test(name, async (inner) => {
      const directory = await filledDirectory(inner);
      await damage(directory);
      await assert.rejects(openAt(directory), isRefusal('INTERNAL', directory, 'damaged'));
    });
  }
});

test('a table that cannot be read is an error, never an empty answer', async (context) => {
  const directory = await filledDirectory(context);
  await truncate(await fileIn(directory, /\.ldb$/), 3);
  const engine = await openAt(directory);
  context.after(() => engine.close());
  assert.throws(() => engine.get(utf8('a')), isRefusal('INTERNAL', directory));
  await assert.rejects(
    engine.scan({ ...ALL, limit: 10, bytesMax: 1000 }),
    isRefusal('INTERNAL', directory),
  );
});

test('a flipped byte in a table, which LevelDB does not notice, is found by the record', async (context) => {
  const directory = await ownDirectory(context);
  const key = utf8('key');
  const engine = await openAt(directory);
  await engine.write([{ type: 'put', key, value: sealRecord(1, key, utf8('a payload')) }]);
  await engine.compact(ALL);
  await engine.close();

  const table = await fileIn(directory, /\.ldb$/);
  const bytes = await readFile(table);
  const at = bytes.indexOf('payload');
  assert.ok(at > 0);
  bytes[at] = 'P'.charCodeAt(0);
  await writeFile(table, bytes);

  const again = await openAt(directory);
  context.after(() => again.close());
  const found = again.get(key);
  assert.ok(found !== undefined);
  assert.throws(() => openRecord(key, found), CorruptRecordError);
});

test('compact() gives space back, and scans leave nothing behind that holds it', async (context) => {
  const directory = await ownDirectory(context);
  const engine = await openAt(directory);
  context.after(() => engine.close());
  // Three megabytes that do not compress, as LevelDB tells sizes of files in megabytes.
  const key = utf8('a');
  const value = drawBytes(new SeededRandom(1), 3_000_000);
  await engine.write([{ type: 'put', key, value }]);
  assert.ok(engine.stats().bytes >= value.length);
  await engine.compact(ALL);
  await engine.scan({ ...ALL, limit: 10, bytesMax: 1000 });
  assert.ok(engine.stats().bytes >= value.length);
  assert.equal(engine.stats().filesAtLevel0, 0);

  await engine.write([{ type: 'delete', key }]);
  await engine.compact(ALL);
  assert.ok(engine.stats().bytes < value.length);
  assert.deepEqual(
    (await readdir(directory)).filter((name) => name.endsWith('.ldb')),
    [],
  );
});

test('open() takes its tuning and says what it opened', async (context) => {
  const directory = await ownDirectory(context);
  const said: unknown[] = [];
  const log: Logger = { ...SILENT.log, info: (fields, message) => said.push([message, fields]) };
  const engine = await LevelEngine.open({
    directory,
    observer: { ...SILENT, log },
    tuning: {
      cacheBytes: 1 << 20,
      writeBufferBytes: 1 << 20,
      fileBytes: 1 << 20,
      openFilesMax: 100,
    },
  });
  await engine.close();
  assert.equal(said.length, 1);
  assert.match(JSON.stringify(said), /storage opened.*directory/);
});
