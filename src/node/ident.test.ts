import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EMPTY } from '../kernel/bytes.ts';
import { NO_ID } from '../kernel/ids.ts';
import { SeededRandom } from '../kernel/random.ts';
import { encodeIdent, openIdent } from './ident.ts';
import { identKey } from './storage/keys.ts';
import { MemoryEngine, MemoryState } from './storage/memory-engine.ts';

function owner(seed = 1, names: { clusterId?: string; name?: string } = {}) {
  return { clusterId: 'one', name: 'a', ...names, random: new SeededRandom(seed) };
}

async function contentOf(engine: MemoryEngine): Promise<string> {
  const page = await engine.scan({ start: EMPTY, end: EMPTY, limit: 1000, bytesMax: 1e9 });
  return page.entries.map(({ key, value }) => `${key}=${value}`).join(';');
}

test('a new directory gets a nonce, no store id, and its first incarnation', async () => {
  const ident = await openIdent(new MemoryEngine(), owner());
  assert.equal(ident.storeId, NO_ID);
  assert.equal(ident.incarnation, 1);
  assert.equal(ident.nonce.length, 16);
});

test('each start counts, and keeps nonce and store id', async () => {
  const state = new MemoryState();
  const first = await openIdent(new MemoryEngine({ state }), owner());
  const named = new MemoryEngine({ state });
  await named.write([
    { type: 'put', key: identKey(), value: encodeIdent({ ...first, storeId: 42 }) },
  ]);
  const second = await openIdent(new MemoryEngine({ state }), owner(2));
  assert.deepEqual({ ...second }, { ...first, storeId: 42, incarnation: 2 });
});

test('lesson 12: a node that lost its disk is somebody else, whatever its name and address', async () => {
  const before = await openIdent(new MemoryEngine(), owner(1));
  const after = await openIdent(new MemoryEngine(), owner(2));
  assert.equal(after.storeId, NO_ID);
  assert.notDeepEqual(after.nonce, before.nonce);
});

test('lesson 12: the directory of another cluster or node is refused before anything is written', async () => {
  for (const wrong of [{ clusterId: 'two' }, { name: 'b' }]) {
    const engine = new MemoryEngine();
    await openIdent(engine, owner());
    const before = await contentOf(engine);
    await assert.rejects(openIdent(engine, owner(2, wrong)), { code: 'INVALID_ARGUMENT' });
    assert.equal(await contentOf(engine), before);
  }
});

test('a damaged identity, or one of a newer program, is refused and stays as it is', async () => {
  const engine = new MemoryEngine();
  await openIdent(engine, owner());
  const value = engine.get(identKey()) ?? EMPTY;
  for (let at = 0; at < value.length; at += 1) {
    const damaged = Uint8Array.from(value);
    damaged[at] = (damaged[at] ?? 0) ^ 1;
    await engine.write([{ type: 'put', key: identKey(), value: damaged }]);
    const before = await contentOf(engine);
    await assert.rejects(openIdent(engine, owner()), `byte ${at}`);
    assert.equal(await contentOf(engine), before);
  }
});
