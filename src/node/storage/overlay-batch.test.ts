import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EMPTY, utf8 } from '../../kernel/bytes.ts';
import { MemoryEngine } from './memory-engine.ts';
import { OverlayBatch } from './overlay-batch.ts';

const A = utf8('a');
const B = utf8('b');

async function engineWith(entries: Readonly<Record<string, string>>): Promise<MemoryEngine> {
  const engine = new MemoryEngine();
  await engine.write(
    Object.entries(entries).map(([key, value]) => ({
      type: 'put',
      key: utf8(key),
      value: utf8(value),
    })),
  );
  return engine;
}

function textOf(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : Buffer.from(bytes).toString();
}

test('get() reads what is durable until the batch says otherwise', async () => {
  const batch = new OverlayBatch(await engineWith({ a: 'old', b: 'old' }));
  assert.equal(textOf(batch.get(A)), 'old');
  batch.put(A, utf8('new'));
  assert.equal(textOf(batch.get(A)), 'new');
  assert.equal(textOf(batch.get(B)), 'old');
  batch.delete(B);
  assert.equal(batch.get(B), undefined);
  assert.equal(batch.get(utf8('c')), undefined);
});

test('get() sees an empty value as a value', async () => {
  const batch = new OverlayBatch(await engineWith({ a: 'old' }));
  batch.put(A, EMPTY);
  assert.deepEqual(batch.get(A), EMPTY);
});

test('get() finds a key by its bytes, whatever object holds them', async () => {
  const batch = new OverlayBatch(await engineWith({}));
  batch.put(Uint8Array.of(0, 0xff, 0x80), A);
  assert.equal(batch.get(Buffer.from([0, 0xff, 0x80])), A);
  assert.equal(batch.get(Uint8Array.of(0, 0xff, 0x81)), undefined);
});

test('a later operation on the same key takes the place of the earlier one', async () => {
  const batch = new OverlayBatch(await engineWith({}));
  batch.put(A, utf8('first'));
  batch.put(B, utf8('b'));
  batch.delete(A);
  batch.delete(B);
  batch.put(B, utf8('last'));
  assert.deepEqual(batch.operations(), [
    { type: 'delete', key: A },
    { type: 'put', key: B, value: utf8('last') },
  ]);
});

test('bytes counts the keys and values that will be written', async () => {
  const batch = new OverlayBatch(await engineWith({}));
  assert.equal(batch.bytes, 0);
  assert.equal(batch.isEmpty, true);
  batch.put(A, utf8('12345'));
  assert.equal(batch.bytes, 6);
  batch.put(A, utf8('1'));
  assert.equal(batch.bytes, 2);
  batch.delete(A);
  assert.equal(batch.bytes, 1);
  assert.equal(batch.isEmpty, false);
});

test('operations() written to the engine give the state that the batch showed', async () => {
  const engine = await engineWith({ a: 'old', b: 'old' });
  const batch = new OverlayBatch(engine);
  batch.delete(A);
  batch.put(B, utf8('new'));
  assert.equal(textOf(engine.get(A)), 'old', 'nothing is written before the batch is');
  await engine.write(batch.operations());
  assert.equal(engine.get(A), undefined);
  assert.equal(textOf(engine.get(B)), 'new');
});
