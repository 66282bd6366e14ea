import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MatrixError } from '../kernel/errors.ts';
import { type Config, parseConfig } from './config.ts';
import { helpText, OPTIONS } from './config-options.ts';

const GOOD: Readonly<Record<string, string>> = {
  name: 'node0',
  'data-dir': '/data',
  'cluster-id': 'c1',
  roles: 'prophet,data',
  listen: '127.0.0.1:9080',
  http: '127.0.0.1:8080',
  'initial-prophet': 'node1=127.0.0.1:9081,node0=127.0.0.1:9080',
};

function parse(changes: Readonly<Record<string, string | undefined>>, environment = {}): Config {
  const argv = Object.entries({ ...GOOD, ...changes }).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}`, value],
  );
  return parseConfig(argv, environment);
}

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof MatrixError);
    assert.equal(error.code, 'INVALID_ARGUMENT');
    return error.text;
  }
  return assert.fail('The options were accepted');
}

test('parseConfig() fills defaults in, sorts the Prophet members and freezes all of it', () => {
  const config = parse({});
  assert.deepEqual(config, {
    name: 'node0',
    dataDirectory: '/data',
    clusterId: 'c1',
    roles: { isProphet: true, isData: true },
    listen: { host: '127.0.0.1', port: 9080 },
    advertise: '127.0.0.1:9080',
    http: { host: '127.0.0.1', port: 8080 },
    httpAdvertise: '127.0.0.1:8080',
    prophetMembers: [
      { name: 'node0', address: '127.0.0.1:9080' },
      { name: 'node1', address: '127.0.0.1:9081' },
    ],
    maxReplicas: 3,
    bootstrapExpect: 3,
    shardCapacityBytes: 64 * 2 ** 20,
    storeDownAfterMs: 300_000,
    prepareAfterMs: 300_000,
    labels: {},
    valueBytesMax: 2 ** 20,
    requestsMax: 8192,
    log: { level: 'info', format: 'auto' },
    exitWithParent: false,
  });
  assert.ok(Object.isFrozen(config) && Object.isFrozen(config.prophetMembers[0]));
});

test('parseConfig() takes flags before the environment and that before defaults', () => {
  const environment = { MATRIXKV_MAX_REPLICAS: '5', MATRIXKV_SHARD_CAPACITY: '1KiB' };
  const config = parse({ 'max-replicas': '1' }, environment);
  assert.equal(config.maxReplicas, 1);
  assert.equal(config.shardCapacityBytes, 1024);
  assert.equal(parse({}, environment).maxReplicas, 5);
});

test('parseConfig() reads labels, durations and the switch', () => {
  const config = parse({ labels: 'zone=a,rack=r1', 'store-down-after': '10s' });
  assert.deepEqual(config.labels, { zone: 'a', rack: 'r1' });
  assert.equal(config.storeDownAfterMs, 10_000);
  const argv = Object.entries(GOOD).flatMap(([name, value]) => [`--${name}`, value]);
  assert.equal(parseConfig([...argv, '--exit-with-parent'], {}).exitWithParent, true);
  assert.equal(parse({}, { MATRIXKV_EXIT_WITH_PARENT: 'true' }).exitWithParent, true);
});

test('parseConfig() advertises what --initial-prophet says when it listens everywhere', () => {
  const config = parse({ listen: '0.0.0.0:9080', http: '[::]:8080', 'http-advertise': 'h:8080' });
  assert.equal(config.advertise, '127.0.0.1:9080');
  assert.equal(config.httpAdvertise, 'h:8080');
});

test('parseConfig() refuses each bad value with the value and a remedy', () => {
  const cases: readonly [Record<string, string | undefined>, RegExp][] = [
    [{ name: undefined }, /^--name is missing: /],
    [{ name: 'a b' }, /^--name a b is not a name: use .* such as node0$/],
    [{ 'data-dir': '' }, /^--data-dir is missing: /],
    [{ 'cluster-id': '..' }, /^--cluster-id \.\. is not a name/],
    [{ roles: 'boss' }, /^--roles boss is not known: use prophet, data or prophet,data$/],
    [{ roles: 'data' }, /^--initial-prophet names node0, but --roles does not/],
    [{ name: 'node7' }, /has no member node7: add node7=HOST:PORT/],
    [{ listen: 'here' }, /^--listen here is not an address: use HOST:PORT/],
    [{ http: '127.0.0.1:99999' }, /^--http 127\.0\.0\.1:99999 is not an address/],
    [{ http: '127.0.0.1:9080' }, /^--http and --listen are both 127\.0\.0\.1:9080/],
    [{ http: '0.0.0.0:80' }, /^0\.0\.0\.0:80 reaches no particular node: give --http-advertise/],
    [{ advertise: '[::]:80' }, /give --advertise HOST:PORT/],
    [{ 'initial-prophet': 'node0' }, /^--initial-prophet node0 is not a list of members/],
    [{ 'initial-prophet': 'node0=a:1,node0=a:2' }, /has the same name twice/],
    [{ 'initial-prophet': 'node0=a:1,node1=a:1' }, /has the same address twice/],
    [{ 'max-replicas': '0' }, /^--max-replicas 0 is out of range: use .* from 1 to 7$/],
    [{ 'max-replicas': '1e0' }, /^--max-replicas 1e0 is out of range/],
    [{ 'bootstrap-expect': '-0' }, /bootstrap-expect/],
    [{ 'shard-capacity': '1' }, /^--shard-capacity 1 is not a size from 512 to /],
    [{ 'value-bytes-max': '9MiB' }, /^--value-bytes-max 9MiB is not a size from 1 to 8388608/],
    [{ 'store-down-after': '10' }, /^--store-down-after 10 is not a duration .* such as 5m$/],
    [{ 'store-down-after': '1000h' }, /^--store-down-after 1000h is not a duration/],
    [{ labels: 'zone' }, /^--labels zone is not a list of labels: use KEY=VALUE/],
    [{ labels: 'a=1,a=2' }, /has the same key twice/],
    [{ 'log-level': 'loud' }, /^--log-level loud is not known: use one of debug, /],
    [{ surprise: 'x' }, /^Unknown option '--surprise': see --help/],
  ];
  for (const [changes, pattern] of cases) {
    assert.match(
      refusal(() => parse(changes)),
      pattern,
    );
  }
});

test('helpText() names every option and its default', () => {
  for (const name of Object.keys(OPTIONS)) assert.ok(helpText().includes(`--${name}`), name);
  assert.match(helpText(), /--shard-capacity SIZE .*default 64MiB/);
});
