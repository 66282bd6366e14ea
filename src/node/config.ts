// Flags and environment become one frozen, checked Config, or one sentence that says which value is
// wrong and what to write instead. Flags win over MATRIXKV_<NAME> variables, those over defaults.

import type { HostPort } from '../kernel/quantity.ts';
import { formatHostPort, parseHostPort } from '../kernel/quantity.ts';
import type { OptionName } from './config-options.ts';
import { type Environment, type OptionSource, readSource, refuse } from './config-source.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
/** `auto` is `pretty` on a terminal and `json` elsewhere. */
export type LogFormat = 'auto' | 'json' | 'pretty';

export interface ProphetMember {
  readonly name: string;
  /** `host:port` where peers reach it. */
  readonly address: string;
}

export interface Config {
  readonly name: string;
  readonly dataDirectory: string;
  readonly clusterId: string;
  readonly roles: { readonly isProphet: boolean; readonly isData: boolean };
  /** Where gRPC for peers and clients listens. */
  readonly listen: HostPort;
  /** `host:port` where peers reach this node. */
  readonly advertise: string;
  readonly http: HostPort;
  /** `host:port` where users reach this node over HTTP. */
  readonly httpAdvertise: string;
  /** Ascending by name: every node derives the same replica ids from it. */
  readonly prophetMembers: readonly ProphetMember[];
  readonly maxReplicas: number;
  /** How many stores must be there before the first shards are made. */
  readonly bootstrapExpect: number;
  readonly shardCapacityBytes: number;
  readonly storeDownAfterMs: number;
  /** How long a new Prophet leader gathers heartbeats, at most, before it moves anything. */
  readonly prepareAfterMs: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly valueBytesMax: number;
  /** Requests in flight at this node before it answers OVERLOADED. */
  readonly requestsMax: number;
  readonly log: { readonly level: LogLevel; readonly format: LogFormat };
  /** Stop when standard input ends: the local supervisor holds the other end. */
  readonly exitWithParent: boolean;
}

/** Throws MatrixError INVALID_ARGUMENT; its `text` is the sentence to print. */
export function parseConfig(argv: readonly string[], environment: Environment): Config {
  const source = readSource(argv, environment);
  const name = source.matching('name', /^[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?$/i, 'node0');
  const roles = readRoles(source);
  const prophetMembers = readProphetMembers(source);
  const ownMember = prophetMembers.find((member) => member.name === name);
  if (roles.isProphet && ownMember === undefined) {
    refuse(
      `--roles names prophet, but --initial-prophet has no member ${name}: ` +
        `add ${name}=HOST:PORT to it on every node, or use --roles data`,
    );
  }
  if (!roles.isProphet && ownMember !== undefined) {
    refuse(`--initial-prophet names ${name}, but --roles does not: add prophet to its roles`);
  }
  const maxReplicas = source.integer('max-replicas', { min: 1, max: 7 });
  const addresses = readAddresses(source, ownMember?.address);
  return deepFreeze({
    name,
    dataDirectory: source.required('data-dir'),
    clusterId: source.matching('cluster-id', /^[a-z0-9][a-z0-9._-]{0,63}$/i, 'my-cluster'),
    roles,
    ...addresses,
    prophetMembers,
    maxReplicas,
    bootstrapExpect:
      source.text('bootstrap-expect') === undefined
        ? maxReplicas
        : source.integer('bootstrap-expect', { min: 1, max: 1_000 }),
    shardCapacityBytes: source.size('shard-capacity', { min: 512, max: 4 * 2 ** 30 }),
    storeDownAfterMs: source.duration('store-down-after', { min: 1_000 }),
    prepareAfterMs: source.duration('prepare-after', { min: 0 }),
    labels: readLabels(source),
    valueBytesMax: source.size('value-bytes-max', { min: 1, max: 8 * 2 ** 20 }),
    requestsMax: source.integer('max-requests', { min: 1, max: 1_000_000 }),
    log: {
      level: source.oneOf('log-level', ['debug', 'info', 'warn', 'error']),
      format: source.oneOf('log-format', ['auto', 'json', 'pretty']),
    },
    exitWithParent: source.isSet('exit-with-parent'),
  });
}

function readRoles(source: OptionSource): Config['roles'] {
  const value = source.required('roles');
  const roles = value.split(',').map((role) => role.trim());
  if (roles.some((role) => role !== 'prophet' && role !== 'data')) {
    refuse(`--roles ${value} is not known: use prophet, data or prophet,data`);
  }
  return { isProphet: roles.includes('prophet'), isData: roles.includes('data') };
}

type Addresses = Pick<Config, 'listen' | 'advertise' | 'http' | 'httpAdvertise'>;

/** Others must be able to call a node: an address that means "everywhere" is no address to give out. */
function readAddresses(source: OptionSource, memberAddress: string | undefined): Addresses {
  const listen = source.address('listen');
  const http = source.address('http');
  if (listen.port === http.port && listen.host === http.host) {
    refuse(`--http and --listen are both ${formatHostPort(http)}: give them different ports`);
  }
  const given = (name: OptionName): string | undefined =>
    source.text(name) === undefined ? undefined : formatHostPort(source.address(name));
  const advertise = given('advertise') ?? memberAddress ?? formatHostPort(listen);
  const httpAdvertise = given('http-advertise') ?? formatHostPort(http);
  for (const [name, address] of Object.entries({ advertise, 'http-advertise': httpAdvertise })) {
    if (!/^(?:0\.0\.0\.0|\[::\]):/.test(address)) continue;
    refuse(`${address} reaches no particular node: give --${name} HOST:PORT that others can call`);
  }
  return { listen, advertise, http, httpAdvertise };
}

function readProphetMembers(source: OptionSource): readonly ProphetMember[] {
  const value = source.required('initial-prophet');
  const members = splitPairs(value).map(([name, address]) => {
    const parsed = parseHostPort(address ?? '');
    if (name === '' || parsed === undefined) {
      refuse(
        `--initial-prophet ${value} is not a list of members: ` +
          'use NAME=HOST:PORT,NAME=HOST:PORT, such as node0=127.0.0.1:9080',
      );
    }
    return { name, address: formatHostPort(parsed) };
  });
  if (members.length > 7) refuse(`--initial-prophet has ${members.length} members: use at most 7`);
  for (const key of ['name', 'address'] as const) {
    const seen = new Set(members.map((member) => member[key]));
    if (seen.size === members.length) continue;
    refuse(`--initial-prophet ${value} has the same ${key} twice: give each member its own`);
  }
  return members.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function readLabels(source: OptionSource): Readonly<Record<string, string>> {
  const value = source.text('labels') ?? '';
  if (value === '') return {};
  const pairs = splitPairs(value).map(([key, label]): [string, string] => {
    const isGood = /^[a-z0-9][a-z0-9./_-]{0,62}$/i.test(key);
    if (!isGood || label === undefined || !/^[a-z0-9._-]{1,63}$/i.test(label)) {
      refuse(`--labels ${value} is not a list of labels: use KEY=VALUE, such as zone=a,rack=r1`);
    }
    return [key, label];
  });
  if (pairs.length > 32) refuse(`--labels has ${pairs.length} labels: use at most 32`);
  const labels = Object.fromEntries(pairs);
  if (Object.keys(labels).length < pairs.length) {
    refuse(`--labels ${value} has the same key twice: give each key once`);
  }
  return labels;
}

function splitPairs(text: string): [string, string | undefined][] {
  return text.split(',').map((part) => {
    const at = part.indexOf('=');
    if (at < 0) return [part.trim(), undefined];
    return [part.slice(0, at).trim(), part.slice(at + 1).trim()];
  });
}

function deepFreeze<T extends object>(value: T): Readonly<T> {
  for (const part of Object.values(value)) {
    if (typeof part === 'object' && part !== null) deepFreeze(part);
  }
  return Object.freeze(value);
}
