// Snapshot streams over any wire: whole or not at all, and no faster than they are taken.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { MatrixError } from '../../kernel/errors.ts';
import type { Sender, Start, TestNode } from './transport-rig-suite.ts';
import { hasCode, isUnavailable, until } from './transport-rig-suite.ts';

const CHUNK_BYTES = 128 * 1024;

export function snapshotTests(start: Start): void {
  test('a snapshot arrives whole and in order', async () => {
    const taken: Uint8Array[] = [];
    const headers: { header: Uint8Array; from: Sender }[] = [];
    const receiver = await start({
      storeId: 2,
      handlers: {
        onSnapshot: async (from, header, chunks) => {
          headers.push({ header, from });
          for await (const chunk of chunks) taken.push(chunk);
        },
      },
    });
    const sender = await start({ storeId: 1, limits: { chunkBytes: 1000 } });
    await sender.transport.sendSnapshot(receiver.address, {
      toStoreId: 2,
      header: Uint8Array.of(1, 2, 3),
      chunks: numbered(20, 2500),
      signal: new AbortController().signal,
    });
    assert.deepEqual(headers[0]?.header, Uint8Array.of(1, 2, 3));
    assert.equal(headers[0]?.from.storeId, 1);
    const bytes = Buffer.concat(taken);
    assert.equal(bytes.length, 20 * 2500);
    for (let index = 0; index < 20; index += 1) assert.equal(bytes[index * 2500 + 7], index);
    assert.ok(taken.every((chunk) => chunk.length <= 1000));
  });

  test('a slow receiver slows the sender down', async () => {
    const count = 400;
    let produced = 0;
    let release = (): void => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    let taken = 0;
    const receiver = await start({
      handlers: {
        onSnapshot: async (_from, _header, chunks) => {
          for await (const _ of chunks) {
            if (taken === 0) await gate;
            taken += 1;
          }
        },
      },
    });
    const sender = await start();
    const done = sender.transport.sendSnapshot(receiver.address, {
      toStoreId: 0,
      header: Uint8Array.of(1),
      chunks: numbered(count, CHUNK_BYTES, () => {
        produced += 1;
      }),
      signal: new AbortController().signal,
    });
    await until('some chunks are under way', () => produced > 4);
    // The source is asked for no more once every buffer on the way is full.
    let before = -1;
    while (before !== produced) {
      before = produced;
      await pause(100);
    }
    assert.ok(produced < count / 2, `${produced} chunks were taken from the source`);
    release();
    await done;
    assert.equal(taken, count);
  });
}

export function brokenSnapshotTests(start: Start): void {
  test('an aborted snapshot ends on both sides', async () => {
    const { done, abort, failureOfReceiver } = await hangingSnapshot(start);
    abort();
    await assert.rejects(done, isUnavailable);
    await until('the receiver hears of it', () => failureOfReceiver() !== undefined);
    assert.ok(isUnavailable(failureOfReceiver()));
  });

  test('a snapshot whose sender dies is never taken for whole', async () => {
    const { sender, failureOfReceiver } = await hangingSnapshot(start);
    await sender.kill();
    await until('the receiver hears of it', () => failureOfReceiver() !== undefined);
    assert.ok(isUnavailable(failureOfReceiver()));
  });

  test('a stream on which nothing moves is given up', async () => {
    const receiver = await start({
      limits: { snapshotStallMs: 50 },
      handlers: {
        onSnapshot: async (_from, _header, chunks) => {
          for await (const _ of chunks);
        },
      },
    });
    const sender = await start();
    await assert.rejects(
      sender.transport.sendSnapshot(receiver.address, {
        toStoreId: 0,
        header: Uint8Array.of(1),
        chunks: hanging(),
        signal: new AbortController().signal,
      }),
      hasCode('TIMEOUT', 'unknown'),
    );
  });

  test('a peer that is not there fails the snapshot', async () => {
    const gone = await start();
    await gone.kill();
    const sender = await start();
    await assert.rejects(
      sender.transport.sendSnapshot(gone.address, {
        toStoreId: 0,
        header: Uint8Array.of(1),
        chunks: numbered(3, 10),
        signal: new AbortController().signal,
      }),
      isUnavailable,
    );
  });
}

export function refusedSnapshotTests(start: Start): void {
  test('a receiver that refuses a snapshot says why', async () => {
    const receiver = await start({
      handlers: {
        onSnapshot: () => Promise.reject(new MatrixError('OVERLOADED', 'Two are coming in')),
      },
    });
    const sender = await start();
    await assert.rejects(
      sender.transport.sendSnapshot(receiver.address, {
        toStoreId: 0,
        header: Uint8Array.of(1),
        chunks: numbered(100, CHUNK_BYTES),
        signal: new AbortController().signal,
      }),
      hasCode('OVERLOADED', 'not-applied'),
    );
  });

  test('a snapshot for another store is refused before its content is looked at', async () => {
    const receiver = await start({
      storeId: 3,
      handlers: { onSnapshot: () => Promise.reject(new Error('Must not be called')) },
    });
    const sender = await start();
    await assert.rejects(
      sender.transport.sendSnapshot(receiver.address, {
        toStoreId: 2,
        header: Uint8Array.of(1),
        chunks: numbered(3, 10),
        signal: new AbortController().signal,
      }),
      hasCode('STORE_MISMATCH', 'not-applied'),
    );
  });
}

/** Starts a snapshot whose source yields one chunk and then hangs. */
async function hangingSnapshot(start: Start): Promise<{
  readonly sender: TestNode;
  readonly done: Promise<void>;
  readonly abort: () => void;
  readonly failureOfReceiver: () => unknown;
}> {
  let failure: unknown;
  let taken = 0;
  const receiver = await start({
    handlers: {
      onSnapshot: async (_from, _header, chunks) => {
        try {
          for await (const _ of chunks) taken += 1;
          failure = 'taken for whole';
        } catch (error) {
          failure = error;
          throw error;
        }
      },
    },
  });
  const sender = await start();
  const controller = new AbortController();
  const done = sender.transport.sendSnapshot(receiver.address, {
    toStoreId: 0,
    header: Uint8Array.of(1),
    chunks: hanging(),
    signal: controller.signal,
  });
  done.catch(() => {}); // Looked at later.
  await until('the first chunk is taken', () => taken === 1);
  return {
    sender,
    done,
    abort: () => controller.abort(),
    failureOfReceiver: () => failure,
  };
}

async function* numbered(
  count: number,
  bytes: number,
  onTake: () => void = () => {},
): AsyncGenerator<Uint8Array> {
  for (let index = 0; index < count; index += 1) {
    onTake();
    yield new Uint8Array(bytes).fill(index);
  }
}

async function* hanging(): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(10);
  await new Promise(() => {});
}
