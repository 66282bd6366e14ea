import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  formatDuration,
  formatHostPort,
  formatSize,
  parseDuration,
  parseHostPort,
  parseSize,
} from './quantity.ts';

test('parseSize() reads bytes and units in any case', () => {
  const cases: Record<string, number | undefined> = {
    '4096': 4096,
    '1KiB': 1024,
    '64mib': 64 * 2 ** 20,
    '1.5 GiB': 1.5 * 2 ** 30,
    '2kB': 2000,
    '0.3B': undefined,
    '': undefined,
    '-1': undefined,
    '1 toString': undefined,
    '1XiB': undefined,
    '99999999999999GiB': undefined,
  };
  for (const [text, bytes] of Object.entries(cases)) assert.equal(parseSize(text), bytes, text);
});

test('parseDuration() wants a unit, except behind 0', () => {
  const cases: Record<string, number | undefined> = {
    '250ms': 250,
    '1.5s': 1500,
    '5m': 300_000,
    '1h': 3_600_000,
    '0': 0,
    '10': undefined,
    '10d': undefined,
    '': undefined,
  };
  for (const [text, ms] of Object.entries(cases)) assert.equal(parseDuration(text), ms, text);
});

test('parseHostPort() reads names, IPv4 and bracketed IPv6, and formatHostPort() writes them back', () => {
  for (const text of ['127.0.0.1:8080', 'node-0.nodes.svc:9080', '[::1]:1', 'a:65535']) {
    const parsed = parseHostPort(text);
    assert.ok(parsed, text);
    assert.equal(formatHostPort(parsed), text);
  }
  for (const text of [
    '',
    ':80',
    'a',
    'a:',
    'a:0',
    'a:65536',
    '::1:80',
    'a b:80',
    'a:80/',
    '-a:80',
  ]) {
    assert.equal(parseHostPort(text), undefined, text);
  }
});

test('formatSize() and formatDuration() choose the largest unit that fits', () => {
  assert.deepEqual([0, 1023, 1024, 1536, 64 * 2 ** 20, 20.4 * 2 ** 30].map(formatSize), [
    '0 B',
    '1023 B',
    '1 KiB',
    '1.5 KiB',
    '64 MiB',
    '20 GiB',
  ]);
  assert.deepEqual([0, 999, 1_000, 9_580, 200_000, 7_300_000].map(formatDuration), [
    '0 ms',
    '999 ms',
    '1 s',
    '9.5 s',
    '3 min',
    '2 h',
  ]);
});
