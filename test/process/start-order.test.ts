// Nodes find each other whatever the order in which they start. They are started directly, as a person
// or another supervisor would.

import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { call, callJson } from './http-calls.ts';
import { PlainNodes } from './plain-nodes.ts';
import { pause, until } from './until.ts';

/** A slow machine may be slow: this is no promise of the product. */
const PATIENCE_MS = 30_000;
/** Longer than an election, so that each node has settled in its waiting before the next one comes. */
const APART_MS = 2_500;

describe('start order', { timeout: 100_000 }, () => {
  let nodes: PlainNodes | undefined;
  afterEach(async () => {
    await nodes?.close();
  });

  /** Four nodes serve as one cluster: what one is told, every other knows. */
  async function assertServes(cluster: PlainNodes): Promise<void> {
    await cluster.untilReady([0, 1, 2, 3], PATIENCE_MS);
    await until({ what: 'the first shard', withinMs: PATIENCE_MS }, async () => {
      const text = JSON.stringify(await callJson(`${cluster.url(3)}/v1/cluster`));
      return text.includes('"bootstrapped":true') ? '' : text;
    });
    for (const [index, node] of cluster.urls().entries()) {
      const { status } = await call(`${node}/v1/kv/order`, { method: 'PUT', body: `${index}` });
      assert.ok(status === 200 || status === 201, `Status ${status} of ${node}`);
      for (const reader of cluster.urls()) {
        assert.equal((await call(`${reader}/v1/kv/order`)).body, `${index}`, reader);
      }
    }
    const ids = await Promise.all(
      cluster.urls().map(async (node) => JSON.stringify(await callJson(`${node}/v1/stores`))),
    );
    const names = ids.map((text) =>
      text
        .match(/"name":"node\d"/g)
        ?.toSorted()
        .join(),
    );
    assert.equal(new Set(names).size, 1, names.join(' '));
    assert.equal(names[0]?.split(',').length, 4);
  }

  test('all at once', async () => {
    nodes = await PlainNodes.prepare({ nodes: 4 });
    for (const index of [2, 3, 0, 1]) await nodes.start(index);
    await assertServes(nodes);
  });

  test('one after the other, each long after the one before', async () => {
    nodes = await PlainNodes.prepare({ nodes: 4 });
    for (const index of [0, 1, 2, 3]) {
      await nodes.start(index);
      await pause(APART_MS);
    }
    await assertServes(nodes);
  });

  test('in reverse order, each long after the one before', async () => {
    nodes = await PlainNodes.prepare({ nodes: 4 });
    for (const index of [3, 2, 1, 0]) {
      await nodes.start(index);
      await pause(APART_MS);
    }
    await assertServes(nodes);
  });

  test('only the data node first: it waits, says so, and joins when the others come', async () => {
    nodes = await PlainNodes.prepare({ nodes: 4 });
    await nodes.start(3);
    const alone = nodes;
    await until({ what: 'node3 answers that it is not ready', withinMs: PATIENCE_MS }, async () => {
      const { status, body } = await call(`${alone.url(3)}/readyz`, { timeoutMs: 2_000 });
      return status === 503 ? '' : `${status} ${body}`;
    });
    const write = await call(`${nodes.url(3)}/v1/kv/early?timeout=1000`, {
      method: 'PUT',
      body: 'too early',
    });
    assert.ok(write.status === 503 || write.status === 504, write.body);
    assert.match(write.body, /"outcome":"not-applied"/);
    for (const index of [1, 0, 2]) await nodes.start(index);
    await assertServes(nodes);
    assert.equal((await call(`${nodes.url(0)}/v1/kv/early`)).status, 404);
  });

  test('two of three Prophet nodes and the data node are enough to serve', async () => {
    nodes = await PlainNodes.prepare({ nodes: 4 });
    for (const index of [3, 2, 1]) await nodes.start(index);
    await nodes.untilReady([1, 2, 3], PATIENCE_MS);
    const early = nodes;
    await until({ what: 'the write', withinMs: PATIENCE_MS }, async () => {
      const { status, body } = await call(`${early.url(3)}/v1/kv/k`, { method: 'PUT', body: 'v' });
      return status === 201 || status === 200 ? '' : body;
    });
    await nodes.start(0);
    await assertServes(nodes);
    assert.equal((await call(`${nodes.url(0)}/v1/kv/k`)).body, 'v');
  });
});
