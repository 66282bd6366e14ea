import assert from 'node:assert/strict';
import { test } from 'node:test';
import { utf8 } from '../../kernel/bytes.ts';
import { stagingHeaderKey } from '../storage/keys.ts';
import { MemoryEngine } from '../storage/memory-engine.ts';
import { putStaging, readStaging, type Staging } from './staging.ts';

const STAGING: Staging = {
  meta: {
    id: 7,
    start: utf8('a'),
    end: utf8('m'),
    epoch: { generation: 3, confVersion: 4 },
    replicas: [
      { replicaId: 10, storeId: 1, role: 'voter' },
      { replicaId: 11, storeId: 2, role: 'learner' },
    ],
  },
  last: { term: 6, index: 1234 },
  chunks: 17,
};

test('what is staged is read as it was put', async () => {
  const engine = new MemoryEngine();
  await engine.write([putStaging(STAGING)]);
  const read = readStaging(engine, 7);
  assert.deepEqual(JSON.stringify(read), JSON.stringify({ ...STAGING, meta: read?.meta }));
  assert.deepEqual(Buffer.from(read?.meta.start ?? []), Buffer.from('a'));
  assert.deepEqual(read?.meta.replicas, STAGING.meta.replicas);
  assert.deepEqual(read?.meta.epoch, STAGING.meta.epoch);
  assert.equal(readStaging(engine, 8), undefined);
});

test('a damaged staging header is refused', async () => {
  const { key, value } = { value: new Uint8Array(0), ...putStaging(STAGING) };
  for (let at = 0; at < value.length; at += 1) {
    const engine = new MemoryEngine();
    const damaged = Uint8Array.from(value);
    damaged[at] = (damaged[at] ?? 0) ^ 1;
    await engine.write([{ type: 'put', key, value: damaged }]);
    assert.throws(() => readStaging(engine, 7), `byte ${at}`);
  }
  assert.deepEqual(key, stagingHeaderKey(7));
});
