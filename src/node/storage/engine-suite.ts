// The contract of the Engine port as tests. Every engine proves itself by running them: what passes
// here may be relied on everywhere else, on disk and in the simulator alike.

import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import { AssertionError } from '../../kernel/assert.ts';
import { compareBytes, EMPTY, type KeyRange, toHex, utf8 } from '../../kernel/bytes.ts';
import { MatrixError } from '../../kernel/errors.ts';
import { drawBytes, fork, SeededRandom } from '../../kernel/random.ts';
import type { Engine, ScanOptions, ScanPage, WriteOperation } from './engine.ts';

export interface EngineUnderTest {
  readonly engine: Engine;
  /** Closes the engine and opens the same storage again. */
  reopen(): Promise<Engine>;
  /** Closes what is open and removes the storage. */
  cleanUp(): Promise<void>;
}

export type OpenEngine = () => Promise<EngineUnderTest>;

const ALL: KeyRange = { start: EMPTY, end: EMPTY };
const LETTERS = ['a', 'b', 'c', 'd', 'e'];

export function engineSuite(name: string, open: OpenEngine): void {
  suite(`${name}: the contract of Engine`, () => {
    const opened = async (context: TestContext): Promise<EngineUnderTest> => {
      const underTest = await open();
      context.after(() => underTest.cleanUp());
      return underTest;
    };
    writeTests(opened);
    rangeTests(opened);
    pageTests(opened);
    snapshotTests(opened);
    lifeTests(opened);
    modelTest(opened);
  });
}

type Opened = (context: TestContext) => Promise<EngineUnderTest>;

function writeTests(opened: Opened): void {
  test('get() answers undefined for a key that was never written', async (context) => {
    const { engine } = await opened(context);
    assert.equal(engine.get(utf8('a')), undefined);
  });

  test('write() makes a whole batch visible', async (context) => {
    const { engine } = await opened(context);
    await engine.write([put('a', 'old'), put('b', '2')]);
    await engine.write([put('a', '1'), erase('b'), put('c', '3'), erase('never there')]);
    assert.equal(text(engine.get(utf8('a'))), '1');
    assert.equal(engine.get(utf8('b')), undefined);
    assert.equal(text(engine.get(utf8('c'))), '3');
  });

  test('write() obeys the order of operations on the same key: the last one wins', async (context) => {
    const { engine } = await opened(context);
    await engine.write([put('a', 'old'), put('b', 'old')]);
    await engine.write([erase('a'), put('a', 'new'), put('b', 'new'), erase('b')]);
    assert.equal(text(engine.get(utf8('a'))), 'new');
    assert.equal(engine.get(utf8('b')), undefined);
  });

  test('write() takes an empty batch', async (context) => {
    const { engine } = await opened(context);
    await engine.write([]);
    assert.deepEqual(keysOf(await scan(engine)), []);
  });

  test('an empty value and an empty key are a value and a key', async (context) => {
    const { engine } = await opened(context);
    await engine.write([put('', 'of the empty key'), put('a', '')]);
    assert.equal(text(engine.get(EMPTY)), 'of the empty key');
    assert.equal(engine.get(utf8('a'))?.length, 0);
    assert.deepEqual(keysOf(await scan(engine)), ['', 'a']);
  });

  test('bytes handed to write() are the caller’s again when it returns', async (context) => {
    const { engine } = await opened(context);
    const [key, value] = [utf8('key'), utf8('value')];
    const written = engine.write([{ type: 'put', key, value }]);
    key.fill(0);
    value.fill(0);
    await written;
    assert.equal(text(engine.get(utf8('key'))), 'value');
  });

  test('bytes handed out are the caller’s: changing them does not change the store', async (context) => {
    const { engine } = await opened(context);
    await engine.write([put('a', 'value')]);
    engine.get(utf8('a'))?.fill(0);
    const { entries } = await scan(engine);
    entries[0]?.key.fill(0);
    entries[0]?.value.fill(0);
    assert.equal(text(engine.get(utf8('a'))), 'value');
    assert.deepEqual(keysOf(await scan(engine)), ['a']);
  });

  test('a second write in flight is refused as a bug and disturbs nothing', async (context) => {
    const { engine } = await opened(context);
    const first = engine.write([put('a', '1')]);
    await assert.rejects(engine.write([put('b', '2')]), AssertionError);
    await first;
    assert.equal(text(engine.get(utf8('a'))), '1');
    assert.equal(engine.get(utf8('b')), undefined);
    await engine.write([put('b', '3')]);
    assert.equal(text(engine.get(utf8('b'))), '3');
  });
}

async function withLetters(opened: Opened, context: TestContext): Promise<Engine> {
  const { engine } = await opened(context);
  await engine.write(LETTERS.map((letter) => put(letter, letter.toUpperCase())));
  return engine;
}

function rangeTests(opened: Opened): void {
  test('scan() orders keys as unsigned bytes, shorter before longer', async (context) => {
    const { engine } = await opened(context);
    const keys = ['', '00', '0000', '0001', '00ff', '01', '7f', '80', 'c3a9', 'ff', 'ff00', 'ffff'];
    await engine.write(
      keys.toReversed().map((key) => ({ type: 'put', key: Buffer.from(key, 'hex'), value: EMPTY })),
    );
    const hexOf = (page: ScanPage): string[] => page.entries.map(({ key }) => toHex(key));
    assert.deepEqual(hexOf(await scan(engine)), keys);
    assert.deepEqual(hexOf(await scan(engine, { reverse: true })), keys.toReversed());
  });

  test('scan() takes the start in and leaves the end out, in both directions', async (context) => {
    const engine = await withLetters(opened, context);
    const range = { start: utf8('b'), end: utf8('d') };
    assert.deepEqual(keysOf(await scan(engine, range)), ['b', 'c']);
    assert.deepEqual(keysOf(await scan(engine, { ...range, reverse: true })), ['c', 'b']);
    const between = { start: utf8('aa'), end: utf8('cc') };
    assert.deepEqual(keysOf(await scan(engine, between)), ['b', 'c']);
    assert.deepEqual(keysOf(await scan(engine, { ...between, reverse: true })), ['c', 'b']);
  });

  test('scan() without an end reads to the last key, in both directions', async (context) => {
    const engine = await withLetters(opened, context);
    assert.deepEqual(keysOf(await scan(engine, { start: utf8('d') })), ['d', 'e']);
    assert.deepEqual(keysOf(await scan(engine, { start: utf8('d'), reverse: true })), ['e', 'd']);
    assert.deepEqual(keysOf(await scan(engine, { start: utf8('f') })), []);
    assert.deepEqual(keysOf(await scan(engine, { end: utf8('z'), reverse: true, limit: 1 })), [
      'e',
    ]);
  });

  test('scan() finds nothing in a range that is empty or upside down', async (context) => {
    const engine = await withLetters(opened, context);
    for (const reverse of [false, true]) {
      const empty = await scan(engine, { start: utf8('b'), end: utf8('b'), reverse });
      assert.deepEqual(empty, { entries: [], hasMore: false });
      const upsideDown = await scan(engine, { start: utf8('d'), end: utf8('b'), reverse });
      assert.deepEqual(upsideDown, { entries: [], hasMore: false });
    }
  });
}

function pageTests(opened: Opened): void {
  test('scan() stops at the limit and knows whether there is more', async (context) => {
    const engine = await withLetters(opened, context);
    for (const reverse of [false, true]) {
      for (let limit = 1; limit <= LETTERS.length + 1; limit += 1) {
        const page = await scan(engine, { limit, reverse });
        const letters = reverse ? LETTERS.toReversed() : LETTERS;
        assert.deepEqual(keysOf(page), letters.slice(0, limit));
        assert.equal(page.hasMore, limit < LETTERS.length, `limit ${limit}`);
      }
    }
  });

  test('scan() stops after the entry with which the bytes are reached', async (context) => {
    const engine = await withLetters(opened, context);
    // Every entry has two bytes: one of key and one of value.
    for (const [bytesMax, count] of [
      [1, 1],
      [2, 1],
      [3, 2],
      [4, 2],
      [9, 5],
      [10, 5],
      [11, 5],
    ] as const) {
      const page = await scan(engine, { bytesMax });
      assert.equal(page.entries.length, count, `${bytesMax} bytes`);
      assert.equal(page.hasMore, count < LETTERS.length, `${bytesMax} bytes`);
    }
  });

  test('scan() of keys only leaves values empty and counts bytes of keys', async (context) => {
    const engine = await withLetters(opened, context);
    const page = await scan(engine, { keysOnly: true, bytesMax: 3 });
    assert.deepEqual(keysOf(page), ['a', 'b', 'c']);
    assert.ok(page.entries.every(({ value }) => value.length === 0));
    assert.equal(page.hasMore, true);
  });

  test('scan() page by page gives every entry once, for any size of page', async (context) => {
    const { engine } = await opened(context);
    const keys = Array.from({ length: 3000 }, (_, at) => `key ${String(at).padStart(5, '0')}`);
    await engine.write(keys.map((key) => put(key, key)));
    for (const size of [{ limit: 7 }, { limit: 1500 }, { limit: 3000 }, { bytesMax: 1000 }]) {
      const found: string[] = [];
      let start = EMPTY;
      for (let hasMore = true; hasMore; ) {
        const page = await scan(engine, { ...size, start });
        found.push(...keysOf(page));
        hasMore = page.hasMore;
        start = Buffer.from(`${found.at(-1)}\0`);
      }
      assert.deepEqual(found, keys);
    }
    assert.equal((await scan(engine)).entries.length, keys.length);
  });

  test('scan() refuses a page that cannot make progress', async (context) => {
    const { engine } = await opened(context);
    await assert.rejects(scan(engine, { limit: 0 }), AssertionError);
    await assert.rejects(scan(engine, { bytesMax: 0 }), AssertionError);
  });
}

function snapshotTests(opened: Opened): void {
  test('a snapshot sees the state of its moment, whatever is written later', async (context) => {
    const { engine } = await opened(context);
    await engine.write([put('a', 'old'), put('b', 'old')]);
    const snapshot = engine.snapshot();
    await engine.write([put('a', 'new'), erase('b'), put('c', 'new')]);
    const { entries } = await scan(engine, { snapshot });
    assert.deepEqual(
      entries.map(({ key, value }) => [text(key), text(value)]),
      [
        ['a', 'old'],
        ['b', 'old'],
      ],
    );
    assert.deepEqual(keysOf(await scan(engine)), ['a', 'c']);
    await snapshot.close();
  });

  test('snapshots of different moments do not disturb each other', async (context) => {
    const { engine } = await opened(context);
    const first = engine.snapshot();
    await engine.write([put('a', '1')]);
    const second = engine.snapshot();
    await engine.write([erase('a'), put('b', '2')]);
    assert.deepEqual(keysOf(await scan(engine, { snapshot: first })), []);
    await first.close();
    assert.deepEqual(keysOf(await scan(engine, { snapshot: second })), ['a']);
    await second.close();
  });

  test('closing a snapshot twice is harmless, reading it afterwards is a bug', async (context) => {
    const { engine } = await opened(context);
    const snapshot = engine.snapshot();
    await snapshot.close();
    await snapshot.close();
    await assert.rejects(scan(engine, { snapshot }), AssertionError);
  });

  test('a snapshot closed during a scan serves that scan to its end', async (context) => {
    const { engine } = await opened(context);
    await engine.write([put('a', '1'), put('b', '2')]);
    const snapshot = engine.snapshot();
    const reading = scan(engine, { snapshot });
    await snapshot.close();
    assert.deepEqual(keysOf(await reading), ['a', 'b']);
  });
}

function lifeTests(opened: Opened): void {
  test('what was written is there after closing and opening again', async (context) => {
    const { engine, reopen } = await opened(context);
    await engine.write([put('a', '1'), put('b', '2')]);
    await engine.write([erase('b'), put('empty', '')]);
    const again = await reopen();
    assert.equal(text(again.get(utf8('a'))), '1');
    assert.equal(again.get(utf8('b')), undefined);
    assert.deepEqual(keysOf(await scan(again)), ['a', 'empty']);
  });

  test('close() waits for the write and the scan in flight', async (context) => {
    const { engine, reopen } = await opened(context);
    await engine.write([put('a', '1')]);
    const finished: string[] = [];
    const scanning = scan(engine).then((page) => finished.push(...keysOf(page)));
    const writing = engine.write([put('b', '2')]).then(() => finished.push('write'));
    await engine.close();
    finished.push('close');
    await Promise.all([scanning, writing]);
    assert.equal(finished.at(-1), 'close');
    assert.equal(finished.length, 3);
    assert.equal(text((await reopen()).get(utf8('b'))), '2');
  });

  test('close() with an open snapshot succeeds, and so does closing the snapshot', async (context) => {
    const { engine } = await opened(context);
    const snapshot = engine.snapshot();
    await engine.close();
    await snapshot.close();
  });

  test('close() may be called twice, and nothing works afterwards', async (context) => {
    const { engine } = await opened(context);
    await Promise.all([engine.close(), engine.close()]);
    await engine.close();
    const isClosed = (error: unknown): boolean =>
      error instanceof MatrixError && error.code === 'UNAVAILABLE';
    assert.throws(() => engine.get(utf8('a')), isClosed);
    assert.throws(() => engine.snapshot(), isClosed);
    assert.throws(() => engine.stats(), isClosed);
    await assert.rejects(engine.write([put('a', '1')]), isClosed);
    await assert.rejects(scan(engine), isClosed);
    await assert.rejects(engine.compact(ALL), isClosed);
  });

  test('compact() keeps what is there and what is deleted', async (context) => {
    const { engine } = await opened(context);
    await engine.write(LETTERS.map((letter) => put(letter, letter)));
    await engine.write([erase('b'), erase('e')]);
    await engine.compact({ start: utf8('a'), end: utf8('c') });
    await engine.compact(ALL);
    assert.deepEqual(keysOf(await scan(engine)), ['a', 'c', 'd']);
    assert.equal(engine.get(utf8('b')), undefined);
  });

  test('stats() counts the bytes that are stored', async (context) => {
    const { engine } = await opened(context);
    const before = engine.stats();
    const value = drawBytes(new SeededRandom(1), 100_000);
    await engine.write([{ type: 'put', key: utf8('a'), value }]);
    const after = engine.stats();
    assert.ok(after.bytes - before.bytes >= 50_000, `${before.bytes} then ${after.bytes}`);
    assert.ok(Number.isInteger(after.filesAtLevel0));
  });
}

/** Random batches and scans against a plain sorted array, with snapshots taken on the way. */
function modelTest(opened: Opened): void {
  test('random writes and scans agree with a simple model', async (context) => {
    const { engine } = await opened(context);
    const random = new SeededRandom(7);
    const randomKey = (): Uint8Array => drawBytes(random, random.below(3));
    const model = new Map<string, string>();
    for (let round = 0; round < 150; round += 1) {
      const operations = randomBatch(fork(random), randomKey);
      const snapshot = engine.snapshot();
      const before = [...model];
      for (const operation of operations) {
        if (operation.type === 'put') model.set(toHex(operation.key), toHex(operation.value));
        else model.delete(toHex(operation.key));
      }
      await engine.write(operations);
      const range = { start: randomKey(), end: randomKey(), reverse: random.below(2) === 0 };
      assert.deepEqual(hexEntries(await scan(engine, range)), expectedScan([...model], range));
      const old = await scan(engine, { ...range, snapshot });
      assert.deepEqual(hexEntries(old), expectedScan(before, range));
      await snapshot.close();
    }
    assert.ok(model.size > 100, `The model has only ${model.size} entries: the test tests little`);
  });
}

function randomBatch(random: SeededRandom, randomKey: () => Uint8Array): WriteOperation[] {
  return Array.from({ length: random.below(12) }, () => {
    const key = randomKey();
    if (random.below(3) === 0) return { type: 'delete', key };
    return { type: 'put', key, value: drawBytes(random, random.below(20)) };
  });
}

function expectedScan(
  model: readonly (readonly [string, string])[],
  { start, end, reverse }: KeyRange & { readonly reverse: boolean },
): (readonly [string, string])[] {
  const inRange = model.filter(([hex]) => {
    const key = Buffer.from(hex, 'hex');
    return compareBytes(key, start) >= 0 && (end.length === 0 || compareBytes(key, end) < 0);
  });
  // Lower-case hex sorts as the bytes do.
  inRange.sort(([a], [b]) => (a < b ? -1 : 1));
  return reverse ? inRange.reverse() : inRange;
}

function hexEntries(page: ScanPage): (readonly [string, string])[] {
  return page.entries.map(({ key, value }) => [toHex(key), toHex(value)] as const);
}

function scan(engine: Engine, options: Partial<ScanOptions> = {}): Promise<ScanPage> {
  return engine.scan({ ...ALL, limit: 100_000, bytesMax: 1_000_000, ...options });
}

function put(key: string, value: string): WriteOperation {
  return { type: 'put', key: utf8(key), value: utf8(value) };
}

function erase(key: string): WriteOperation {
  return { type: 'delete', key: utf8(key) };
}

function text(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : Buffer.from(bytes).toString();
}

function keysOf(page: ScanPage): string[] {
  return page.entries.map(({ key }) => Buffer.from(key).toString());
}
