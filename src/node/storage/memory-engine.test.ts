import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AssertionError } from '../../kernel/assert.ts';
import { EMPTY, utf8 } from '../../kernel/bytes.ts';
import { MatrixError } from '../../kernel/errors.ts';
import { engineSuite } from './engine-suite.ts';
import { type Commit, MemoryEngine, MemoryState } from './memory-engine.ts';

engineSuite('MemoryEngine', async () => {
  const state = new MemoryState();
  let engine = new MemoryEngine({ state });
  return {
    engine,
    reopen: async () => {
      await engine.close();
      engine = new MemoryEngine({ state });
      return engine;
    },
    cleanUp: () => engine.close(),
  };
});

const KEY = utf8('key');
const PUT = { type: 'put', key: KEY, value: utf8('value') } as const;

/** A disk that leaves every write in flight until the test decides. */
function heldCommit(): { commit: Commit; apply(): void; resolve(): void } {
  const held = Promise.withResolvers<void>();
  let pending = (): void => assert.fail('No write is in flight');
  const commit: Commit = (apply) => {
    pending = apply;
    return held.promise;
  };
  return { commit, apply: () => pending(), resolve: held.resolve };
}

test('a write takes effect at the moment that the commit hook chooses', async () => {
  const { commit, apply, resolve } = heldCommit();
  const engine = new MemoryEngine({ commit });
  const written = engine.write([PUT]);
  assert.equal(engine.get(KEY), undefined);
  apply();
  resolve();
  await written;
  assert.deepEqual(engine.get(KEY), Buffer.from('value'));
});

test('a crash loses the write in flight, or keeps it, as the hook decides', () => {
  for (const survives of [false, true]) {
    const state = new MemoryState();
    const { commit, apply } = heldCommit();
    const crashed = new MemoryEngine({ state, commit });
    void crashed.write([PUT]);
    if (survives) apply();
    const restarted = new MemoryEngine({ state });
    assert.equal(restarted.get(KEY) !== undefined, survives);
  }
});

test('an engine that crashed cannot change a disk that another one has opened', () => {
  const state = new MemoryState();
  const { commit, apply } = heldCommit();
  const crashed = new MemoryEngine({ state, commit });
  void crashed.write([PUT]);
  const restarted = new MemoryEngine({ state });
  assert.throws(apply, AssertionError);
  assert.equal(restarted.get(KEY), undefined);
});

test('a failed write has an unknown outcome and ends all writing', async () => {
  const cause = new Error('fsync failed');
  let isBroken = true;
  const engine = new MemoryEngine({
    commit: async (apply) => {
      if (isBroken) throw cause;
      apply();
    },
  });
  const isFailure = (error: unknown): boolean =>
    error instanceof MatrixError &&
    error.code === 'INTERNAL' &&
    error.outcome === 'unknown' &&
    error.cause === cause;
  await assert.rejects(engine.write([PUT]), isFailure);
  isBroken = false;
  await assert.rejects(engine.write([PUT]), isFailure);
  assert.equal(engine.get(KEY), undefined);
  await engine.close();
});

test('a write that found no space says DISK_FULL', async () => {
  const engine = new MemoryEngine({
    commit: async () => {
      throw new Error('IO error: /data/000005.log: No space left on device');
    },
  });
  await assert.rejects(
    engine.write([PUT]),
    (error) =>
      error instanceof MatrixError && error.code === 'DISK_FULL' && error.outcome === 'unknown',
  );
});

test('a commit hook that resolves without applying is found out', async () => {
  const engine = new MemoryEngine({ commit: async () => {} });
  await assert.rejects(engine.write([PUT]), AssertionError);
});

test('clone() makes a disk of its own', async () => {
  const state = new MemoryState();
  const engine = new MemoryEngine({ state });
  await engine.write([PUT]);
  const copy = new MemoryEngine({ state: state.clone() });
  await copy.write([{ type: 'delete', key: KEY }]);
  assert.equal(copy.get(KEY), undefined);
  assert.ok(engine.get(KEY));
  await engine.write([{ type: 'put', key: EMPTY, value: EMPTY }]);
  assert.equal(copy.get(EMPTY), undefined);
});
