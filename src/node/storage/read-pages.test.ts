import assert from 'node:assert/strict';
import { test } from 'node:test';
import { utf8 } from '../../kernel/bytes.ts';
import { MemoryEngine } from './memory-engine.ts';
import { readPages } from './read-pages.ts';

async function filled(): Promise<MemoryEngine> {
  const engine = new MemoryEngine();
  const keys = ['a', 'b', 'c', 'd', 'e'];
  await engine.write(keys.map((key) => ({ type: 'put', key: utf8(key), value: utf8('v') })));
  return engine;
}

async function pagesOf(engine: MemoryEngine, limit: number, end = ''): Promise<string[]> {
  const range = { start: utf8('a'), end: utf8(end) };
  const pages: string[] = [];
  for await (const page of readPages(engine, { ...range, limit, bytesMax: 1000 })) {
    pages.push(page.map(({ key }) => Buffer.from(key).toString()).join(''));
  }
  return pages;
}

test('readPages() gives every entry once, in pages of at most the limit', async () => {
  const engine = await filled();
  assert.deepEqual(await pagesOf(engine, 2), ['ab', 'cd', 'e']);
  assert.deepEqual(await pagesOf(engine, 5), ['abcde']);
  assert.deepEqual(await pagesOf(engine, 2, 'e'), ['ab', 'cd']);
  await engine.close();
});

test('readPages() gives no page for an empty range', async () => {
  const engine = new MemoryEngine();
  assert.deepEqual(await pagesOf(engine, 2), []);
  await engine.close();
});
