import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { afterEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { METRICS } from './metrics.ts';
import { createObserver, type NodeObserver } from './observer.ts';

const open: NodeObserver[] = [];
afterEach(() => {
  for (const observer of open.splice(0)) observer.close();
});

function observe(format: 'json' | 'pretty'): NodeObserver & { lines: string[] } {
  const lines: string[] = [];
  const stream = { write: (line: string) => void lines.push(line) };
  const made = createObserver({ level: 'info', format, fields: { node: 'node0' }, stream });
  open.push(made);
  return { ...made, lines };
}

test('log lines are JSON with the level in words, ISO time and all fields', () => {
  const { observer, lines } = observe('json');
  observer.log.child({ shard: 3 }).warn({ reason: 'late' }, 'Message dropped');
  const line: unknown = JSON.parse(lines[0] ?? '');
  assert.ok(typeof line === 'object' && line !== null && 'time' in line);
  assert.match(String(line.time), /^\d{4}-\d\d-\d\dT.*Z$/);
  assert.deepEqual(
    { ...line, time: '' },
    { level: 'warn', time: '', node: 'node0', shard: 3, reason: 'late', msg: 'Message dropped' },
  );
});

test('log lines below the level are left out', () => {
  const { observer, lines } = observe('json');
  observer.log.debug({}, 'Detail');
  assert.deepEqual(lines, []);
});

test('errors in fields keep their text and stack under any name', () => {
  const { observer, lines } = observe('json');
  observer.log.error({ cause: new TypeError('Broken') }, 'Node failed');
  assert.match(lines[0] ?? '', /"cause":\{"type":"TypeError","message":"Broken","stack":/);
});

test('pretty lines are one line for people', () => {
  const { observer, lines } = observe('pretty');
  observer.log.info({ shard: 3 }, 'Leader elected');
  assert.match(lines.join(''), /^\[.*\] INFO: Leader elected \{"shard":3\}\n$/);
});

test('metricsText() shows counters, gauges and histograms with their labels', async () => {
  const { observer, metricsText } = observe('json');
  const labels = { route: '/v1/kv/{key}', status: '200' };
  observer.metrics.count('matrixkv_http_requests_total', 2, labels);
  observer.metrics.gauge('matrixkv_store_shards', 7);
  observer.metrics.observe('matrixkv_store_write_seconds', 0.003);
  const text = await metricsText();
  assert.match(text, /^matrixkv_http_requests_total\{route="\/v1\/kv\/\{key\}",status="200"\} 2$/m);
  assert.match(text, /^matrixkv_store_shards 7$/m);
  assert.match(text, /^matrixkv_store_write_seconds_bucket\{le="0.002"\} 0$/m);
  assert.match(text, /^matrixkv_store_write_seconds_bucket\{le="0.004"\} 1$/m);
  assert.match(text, /^process_resident_memory_bytes \d+/m);
});

test('metrics refuse unknown names, other types and other labels at once', () => {
  const { metrics } = observe('json').observer;
  assert.throws(() => metrics.count('matrixkv_surprise_total'), /not in the table/);
  assert.throws(() => metrics.gauge('matrixkv_shard_splits_total', 1), /is a counter/);
  assert.throws(() => metrics.count('matrixkv_shard_proposals_total'), /has the labels \[result\]/);
  assert.throws(() => metrics.gauge('matrixkv_store_shards', 1, { a: 'b' }), /has the labels \[\]/);
});

test('the table names each metric by its kind and helps in a sentence', () => {
  for (const [name, { type, help, buckets }] of Object.entries(METRICS)) {
    assert.match(name, /^matrixkv_[a-z]+_[a-z0-9_]+$/);
    assert.equal(name.endsWith('_total'), type === 'counter', name);
    assert.match(help, /^[A-Z0-9].*\.$/, name);
    assert.equal(buckets !== undefined, type === 'histogram', name);
  }
});

test('every metric that the rooms of a node report is in the table, with its kind', () => {
  const kinds: Readonly<Record<string, string>> = {
    count: 'counter',
    observe: 'histogram',
    gauge: 'gauge',
  };
  const home = fileURLToPath(new URL('.', import.meta.url));
  const files = globSync('**/*.ts', { cwd: home }).filter(
    (path) => !/(?:\.test|-suite)\.ts$/.test(path),
  );
  let found = 0;
  for (const path of files) {
    const text = readFileSync(`${home}${path}`, 'utf8');
    for (const [, call = '', name = ''] of text.matchAll(
      /\.(count|observe|gauge)\(\s*'(matrixkv_\w+)'/g,
    )) {
      found += 1;
      assert.equal(METRICS[name]?.type, kinds[call], `${name} in ${path}`);
    }
  }
  assert.ok(found > 5, `Only ${found} calls were found: the search is broken`);
});
