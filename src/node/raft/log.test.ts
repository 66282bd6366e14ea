import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AssertionError } from '../../kernel/assert.ts';
import { utf8 } from '../../kernel/bytes.ts';
import { Log } from './log.ts';
import type { Entry } from './messages.ts';

function entry(term: number, index: number, text = 'x'): Entry {
  return { term, index, kind: 'normal', data: utf8(text) };
}

/** A log with 1/10 truncated and 1/11 1/12 2/13 2/14 stored; 12 is committed, 10 applied. */
function example(): Log {
  return new Log({
    truncated: { term: 1, index: 10 },
    entries: [entry(1, 11), entry(1, 12), entry(2, 13), entry(2, 14)],
    commit: 12,
    applied: 10,
  });
}

function ids(entries: readonly Entry[]): string {
  return entries.map(({ term, index }) => `${term}/${index}`).join(' ');
}

test('a log knows the terms of its window and of the entry before it', () => {
  const log = example();
  assert.deepEqual(
    [9, 10, 11, 12, 13, 14, 15].map((index) => log.term(index)),
    [undefined, 1, 1, 1, 2, 2, undefined],
  );
  assert.deepEqual(log.last, { term: 2, index: 14 });
});

test('accept() keeps what is there, even when more follows', () => {
  const log = example();
  assert.ok(log.accept([entry(1, 12), entry(2, 13)]));
  assert.equal(log.last.index, 14);
  assert.equal(log.stable, 14);
  assert.equal(log.hasUnoffered(), false);
});

test('accept() replaces from the first contradiction on and offers it for storing', () => {
  const log = example();
  assert.ok(log.accept([entry(2, 13), entry(3, 14), entry(3, 15)]));
  assert.equal(log.stable, 13);
  assert.equal(ids(log.offer()), '3/14 3/15');
  assert.equal(ids(log.offer()), '');
});

test('accept() changes nothing when committed entries would be replaced', () => {
  const log = example();
  assert.equal(log.accept([entry(2, 12), entry(2, 13)]), false);
  assert.equal(log.term(12), 1);
  assert.deepEqual(log.last, { term: 2, index: 14 });
});

test('stableTo() ignores a write whose entries were replaced meanwhile', () => {
  const log = example();
  log.accept([entry(3, 13)]);
  log.offer();
  log.stableTo({ term: 2, index: 14 });
  assert.equal(log.stable, 12);
  log.stableTo({ term: 3, index: 13 });
  assert.equal(log.stable, 13);
});

test('takeCommitted() hands out each entry once and only what was offered', () => {
  const log = example();
  log.append([entry(2, 15)]);
  log.commitTo(15);
  assert.equal(ids(log.takeCommitted(10_000)), '1/11 1/12 2/13 2/14');
  log.offer();
  assert.equal(ids(log.takeCommitted(10_000)), '2/15');
  assert.equal(log.hasCommitted(), false);
});

test('takeCommitted() and read() give at least one entry and then stay within the bytes', () => {
  const log = example();
  assert.equal(ids(log.takeCommitted(1)), '1/11');
  assert.equal(ids(log.takeCommitted(1)), '1/12');
  assert.equal(ids(log.read(11, 1)), '1/11');
  assert.equal(ids(log.read(11, 70)), '1/11 1/12');
  assert.equal(ids(log.read(15, 70)), '');
});

test('commitTo() never goes back and never beyond the log', () => {
  const log = example();
  assert.equal(log.commitTo(11), false);
  assert.equal(log.commit, 12);
  assert.throws(() => log.commitTo(15), AssertionError);
});

test('compact() forgets applied entries and keeps count of the bytes', () => {
  const log = example();
  assert.throws(() => log.compact(11), AssertionError);
  log.takeCommitted(10_000);
  log.appliedTo(12);
  const bytes = log.bytes;
  log.compact(12);
  assert.deepEqual(log.truncated, { term: 1, index: 12 });
  assert.equal(log.term(11), undefined);
  assert.equal(log.bytes, bytes / 2);
  log.compact(11);
  assert.equal(log.truncated.index, 12);
});

test('appliedTo() refuses what was never handed out', () => {
  assert.throws(() => example().appliedTo(11), AssertionError);
});

test('lastAgreeable() skips whole terms that cannot agree', () => {
  const log = example();
  assert.deepEqual(log.lastAgreeable({ term: 1, index: 14 }), { term: 1, index: 12 });
  assert.deepEqual(log.lastAgreeable({ term: 2, index: 13 }), { term: 2, index: 13 });
  assert.deepEqual(log.lastAgreeable({ term: 5, index: 99 }), { term: 2, index: 14 });
  assert.deepEqual(log.lastAgreeable({ term: 0, index: 14 }), { term: 1, index: 10 });
  assert.deepEqual(log.lastAgreeable({ term: 7, index: 4 }), { term: 0, index: 4 });
});

test('hasUnappliedConf() looks at committed entries that are not applied, and at no others', () => {
  const conf: Entry = { term: 1, index: 11, kind: 'conf', data: utf8('add') };
  const log = new Log({
    truncated: { term: 1, index: 10 },
    entries: [conf],
    commit: 10,
    applied: 10,
  });
  assert.equal(log.hasUnappliedConf(), false);
  log.commitTo(11);
  assert.equal(log.hasUnappliedConf(), true);
  log.takeCommitted(100);
  assert.equal(log.hasUnappliedConf(), true);
  log.appliedTo(11);
  assert.equal(log.hasUnappliedConf(), false);
});

test('reset() puts a snapshot in the place of everything', () => {
  const log = example();
  log.reset({ term: 4, index: 40 });
  assert.deepEqual(
    [log.commit, log.applied, log.last, log.truncated, log.bytes],
    [40, 40, { term: 4, index: 40 }, { term: 4, index: 40 }, 0],
  );
  assert.equal(log.stable, 14);
  log.stableTo({ term: 4, index: 40 });
  assert.equal(log.stable, 40);
  assert.throws(() => log.reset({ term: 4, index: 40 }), AssertionError);
});
