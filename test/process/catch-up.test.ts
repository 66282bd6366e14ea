// A follower that was away while 100,000 entries were written: its log is long gone on the others, so it
// catches up by a snapshot, and is then as good as any other.

import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { after, describe, test } from 'node:test';
import { must } from '../../src/kernel/assert.ts';
import { readShards, storeIdOf } from './cluster-views.ts';
import { call, callJson } from './http-calls.ts';
import { encodeRequest, PipelinedConnection } from './pipelined-connection.ts';
import { PlainNodes } from './plain-nodes.ts';
import { until } from './until.ts';

const ENTRIES = 100_000;
const CONNECTIONS = 8;
const BATCH = 125;
const PATIENCE_MS = 60_000;
const FOLLOWER = 2;

function keyOf(number: number): string {
  return `key-${String(number).padStart(6, '0')}`;
}

function writtenValue(number: number): string {
  return `value ${number} `.padEnd(64, '.');
}

async function load(node: string): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    const connection = await PipelinedConnection.open(node);
    while (next < ENTRIES) {
      const first = next;
      next += BATCH;
      const numbers = Array.from({ length: BATCH }, (_, index) => first + index);
      await connection.send(
        numbers.map((number) =>
          encodeRequest({
            method: 'PUT',
            path: `/v1/kv/${keyOf(number)}`,
            body: writtenValue(number),
          }),
        ),
      );
    }
    connection.close();
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, work));
}

interface Page {
  readonly items: readonly { readonly key: string; readonly value: string }[];
  readonly next?: string;
}

/** The number of keys in order, each with its value. */
async function countRightKeys(node: string): Promise<number> {
  let count = 0;
  let next: string | undefined = '';
  while (next !== undefined) {
    const more = next === '' ? '' : `&continue=${encodeURIComponent(next)}`;
    // The shape is that of docs/openapi.yaml, which the server's own tests hold it to.
    const page = (await callJson(`${node}/v1/kv?limit=1000${more}`)) as Page;
    for (const { key, value } of page.items) {
      assert.deepEqual([key, value], [keyOf(count), writtenValue(count)]);
      count += 1;
    }
    ({ next } = page);
  }
  return count;
}

async function snapshotsReceived(node: string): Promise<number> {
  const { body } = await call(`${node}/metrics`);
  const line = /^matrixkv_shard_snapshots_total\{[^}]*direction="received"[^}]*\} (\d+)/m.exec(
    body,
  );
  return Number(line?.[1] ?? '0');
}

describe('catching up', () => {
  let nodes: PlainNodes | undefined;
  after(async () => {
    await nodes?.close();
  });

  test('a follower that missed 100,000 entries catches up by snapshot', {
    timeout: 240_000,
  }, async (t) => {
    const cluster = await PlainNodes.prepare({ nodes: 3 });
    nodes = cluster;
    for (const index of [0, 1, 2]) await cluster.start(index);
    await cluster.untilReady([0, 1, 2], PATIENCE_MS);
    await until({ what: 'the first write', withinMs: PATIENCE_MS }, async () => {
      const { status } = await call(`${cluster.url(0)}/v1/kv/${keyOf(0)}`, { method: 'PUT' });
      return status === 200 || status === 201 ? '' : `status ${status}`;
    });
    await cluster.stop(FOLLOWER);

    const start = performance.now();
    await load(cluster.url(0));
    const seconds = (performance.now() - start) / 1_000;
    t.diagnostic(`${ENTRIES} entries in ${seconds.toFixed(1)} s`);

    const restart = performance.now();
    await cluster.start(FOLLOWER);
    await cluster.untilReady([FOLLOWER], PATIENCE_MS);
    await until({ what: 'a snapshot at the follower', withinMs: PATIENCE_MS }, async () =>
      (await snapshotsReceived(cluster.url(FOLLOWER))) > 0 ? '' : 'none received',
    );
    t.diagnostic(
      `snapshot installed ${Math.round(performance.now() - restart)} ms after the start`,
    );

    // As the leader it answers from its own state only; and with one other gone, nothing is decided
    // without it.
    const storeId = await storeIdOf(cluster.url(0), `node${FOLLOWER}`);
    const shard = must((await readShards(cluster.url(0)))[0], 'There is a shard');
    await until({ what: 'the follower leads', withinMs: PATIENCE_MS }, async () => {
      const answer = await call(`${cluster.url(0)}/v1/shards/${shard.id}/leader`, {
        method: 'POST',
        body: JSON.stringify({ storeId }),
        headers: { 'Content-Type': 'application/json' },
      });
      return answer.status === 200 ? '' : answer.body;
    });
    await cluster.kill(0);
    await until({ what: 'a write without node0', withinMs: PATIENCE_MS }, async () => {
      const { status, body } = await call(`${cluster.url(FOLLOWER)}/v1/kv/${keyOf(0)}`, {
        method: 'PUT',
        body: writtenValue(0),
      });
      return status === 200 ? '' : `${status} ${body}`;
    });
    assert.equal(await countRightKeys(cluster.url(FOLLOWER)), ENTRIES);
  });
});
