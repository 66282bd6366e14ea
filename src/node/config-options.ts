// Every option of the node program in one table: its default, its help, and how it looks in use.
// config.ts reads and checks them, the help text below prints them.

export interface Option {
  readonly help: string;
  /** What stands behind the flag in the help. */
  readonly value?: string;
  readonly default?: string;
  /** A flag without a value. */
  readonly isSwitch?: true;
}

export const OPTIONS = {
  name: { value: 'NAME', help: 'this node within its cluster; keep it across restarts' },
  'data-dir': { value: 'DIR', help: 'where this node, and no other, keeps its data' },
  'cluster-id': {
    value: 'ID',
    help: 'the same on all nodes of a cluster; data of another is refused',
  },
  roles: { value: 'ROLES', default: 'data', help: 'prophet, data or prophet,data' },
  listen: {
    value: 'HOST:PORT',
    default: '127.0.0.1:9080',
    help: 'gRPC, for peers and clients',
  },
  advertise: {
    value: 'HOST:PORT',
    help: 'where peers reach it; default: its own entry in --initial-prophet, or --listen',
  },
  http: { value: 'HOST:PORT', default: '127.0.0.1:8080', help: 'HTTP: /v1, health and metrics' },
  'http-advertise': { value: 'HOST:PORT', help: 'where users reach it over HTTP; default: --http' },
  'initial-prophet': {
    value: 'NAME=HOST:PORT,...',
    help: 'all Prophet nodes and their peer addresses, the same on all nodes',
  },
  'max-replicas': { value: 'N', default: '3', help: 'replicas of each shard' },
  'bootstrap-expect': {
    value: 'N',
    help: 'stores that must be there before the first shard is made; default: --max-replicas',
  },
  'shard-capacity': { value: 'SIZE', default: '64MiB', help: 'a shard larger than this is split' },
  'store-down-after': {
    value: 'TIME',
    default: '5m',
    help: 'silence after which the replicas of a store are made anew elsewhere',
  },
  'prepare-after': {
    value: 'TIME',
    default: '5m',
    help: 'a new Prophet leader waits for heartbeats of most shards, at most so long',
  },
  labels: { value: 'KEY=VALUE,...', default: '', help: 'where the node stands: zone=a,rack=r1' },
  'value-bytes-max': { value: 'SIZE', default: '1MiB', help: 'largest value, at most 8MiB' },
  'max-requests': {
    value: 'N',
    default: '8192',
    help: 'requests in flight before the node answers OVERLOADED',
  },
  'log-level': { value: 'LEVEL', default: 'info', help: 'debug, info, warn or error' },
  'log-format': {
    value: 'FORMAT',
    default: 'auto',
    help: 'json, pretty, or auto: pretty on a terminal',
  },
  'exit-with-parent': {
    isSwitch: true,
    default: 'false',
    help: 'stop when standard input ends',
  },
} as const satisfies Readonly<Record<string, Option>>;

export type OptionName = keyof typeof OPTIONS;

/** What `--help` prints. */
export function helpText(): string {
  const lines = Object.entries<Option>(OPTIONS).map(([name, option]) => {
    const flag = `--${name}${option.value === undefined ? '' : ` ${option.value}`}`;
    const isDefaultShown =
      option.default !== undefined && option.default !== '' && !option.isSwitch;
    const fallback = isDefaultShown ? ` (default ${option.default})` : '';
    return `  ${flag.padEnd(38)} ${option.help}${fallback}`;
  });
  return [
    'One node of a MatrixKV cluster.',
    '',
    'Usage: node src/node/main.ts --name NAME --data-dir DIR --cluster-id ID \\',
    '         --initial-prophet NAME=HOST:PORT,... [options]',
    '',
    'Options:',
    ...lines,
    '',
    'Sizes are bytes or carry a unit (KiB, MiB, GiB), times carry one (ms, s, m, h).',
    'Every option can also be set by the environment: --data-dir as MATRIXKV_DATA_DIR.',
    'A whole cluster on this machine: npm start',
    '',
  ].join('\n');
}
