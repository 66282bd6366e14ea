// What the golden scripts cannot say: states that must not be opened, messages no correct replica
// sends, and the order of disk and vote.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EMPTY, utf8 } from '../../kernel/bytes.ts';
import type { Random } from '../../kernel/random.ts';
import { between, chance, SeededRandom } from '../../kernel/random.ts';
import type { RaftOptions } from './core.ts';
import type { RaftState } from './durable-state.ts';
import { RaftStateError } from './durable-state.ts';
import type { Entry, Message } from './messages.ts';
import { Raft } from './raft.ts';
import { DiskReplica, freshGroup, LIMITS, NOTHING } from './replica-suite.ts';

function optionsOf(id: number): RaftOptions {
  return { id, random: new SeededRandom(id), electionTicks: 10, heartbeatTicks: 2, limits: LIMITS };
}

function entry(term: number, index: number): Entry {
  return { term, index, kind: 'normal', data: EMPTY };
}

const SOUND: RaftState = {
  hardState: { term: 3, vote: 0, commit: 7 },
  conf: { voters: [1, 2], learners: [3] },
  truncated: { term: 2, index: 5 },
  entries: [entry(2, 6), entry(3, 7), entry(3, 8)],
  applied: 6,
};

test('a sound durable state is opened as it is', () => {
  const { commit, applied, firstIndex, lastIndex, term } = new Raft(optionsOf(1), SOUND).status();
  assert.deepEqual([commit, applied, firstIndex, lastIndex, term], [7, 6, 6, 8, 3]);
});

test('a durable state that contradicts itself is refused', () => {
  const broken: Record<string, RaftState> = {
    'a gap behind the window': { ...SOUND, entries: [entry(3, 7), entry(3, 8)] },
    'a gap between entries': { ...SOUND, entries: [entry(2, 6), entry(3, 8)] },
    'a term that falls': { ...SOUND, entries: [entry(3, 6), entry(2, 7), entry(3, 8)] },
    'a term below the truncated one': { ...SOUND, entries: [entry(1, 6), entry(3, 7)] },
    'an entry newer than the term': { ...SOUND, hardState: { term: 2, vote: 0, commit: 7 } },
    'applied above commit': { ...SOUND, applied: 8 },
    'applied below truncated': { ...SOUND, applied: 4 },
    'commit above last': { ...SOUND, hardState: { term: 3, vote: 0, commit: 9 } },
    'a member twice': { ...SOUND, conf: { voters: [1, 2], learners: [2] } },
    'no number': { ...SOUND, hardState: { term: 3, vote: Number.NaN, commit: 7 } },
  };
  for (const [what, state] of Object.entries(broken)) {
    assert.throws(() => new Raft(optionsOf(1), state), RaftStateError, what);
  }
});

test('a committed entry that was not applied before the restart is handed out again', () => {
  const ready = new Raft(optionsOf(1), SOUND).ready();
  assert.deepEqual(
    ready.committed.map(({ index }) => index),
    [7],
  );
  assert.equal(ready.hardState, undefined);
});

test('a candidate does not count its vote when a write that began before ends', () => {
  const replica = new DiskReplica(optionsOf(1), freshGroup([1]));
  replica.raft.step({ type: 'heartbeat', from: 9, to: 1, term: 4, commit: 0, readSequence: 0 });
  replica.begin();
  replica.raft.campaign();
  replica.finish();
  assert.equal(replica.raft.status().role, 'candidate');
  replica.begin();
  replica.finish();
  assert.equal(replica.raft.status().role, 'leader');
});

test('a pre-vote granted for the present term says nothing about the next one', () => {
  const raft = new Raft(optionsOf(1), SOUND);
  while (raft.status().role !== 'pre-candidate') raft.tick();
  const grant = { type: 'pre-vote-response', from: 2, to: 1, granted: true } as const;
  raft.step({ ...grant, term: 3 });
  assert.equal(raft.status().role, 'pre-candidate');
  raft.step({ ...grant, term: 4 });
  assert.equal(raft.status().role, 'candidate');
});

test('one Ready is in flight at a time, and none when there is nothing to do', () => {
  const raft = new Raft(optionsOf(1), SOUND);
  assert.ok(raft.hasReady());
  raft.ready();
  assert.equal(raft.hasReady(), false, 'one Ready is in flight');
  raft.persisted();
  assert.equal(raft.hasReady(), false, 'nothing is left to do');
});

test('a leader that is read from faster than answers come refuses at some point', () => {
  const raft = new Raft(optionsOf(1), freshGroup([1, 2]));
  const write = (): void => {
    raft.ready();
    raft.persisted();
  };
  raft.campaign();
  write();
  raft.step({ type: 'vote-response', from: 2, to: 1, term: 1, granted: true });
  write();
  raft.step({ type: 'append-response', from: 2, to: 1, term: 1, index: 1 });
  const answers = new Set<string>();
  for (let round = 0; round < 5000; round += 1) {
    answers.add(raft.readIndex().type);
    write();
  }
  assert.deepEqual([...answers], ['accepted', 'not-ready']);
});

test('entries with gaps or from the future are neither stored nor answered', () => {
  const append = (entries: readonly Entry[]): Message => ({
    type: 'append',
    from: 2,
    to: 1,
    term: 3,
    previous: { term: 3, index: 8 },
    entries,
    commit: 8,
  });
  for (const entries of [
    [entry(3, 10)],
    [entry(2, 9)],
    [entry(4, 9)],
    [entry(3, 9), entry(3, 11)],
  ]) {
    const raft = new Raft(optionsOf(1), SOUND);
    raft.step(append(entries));
    assert.equal(raft.status().lastIndex, 8);
    assert.deepEqual(raft.ready().messagesAfterPersist, []);
  }
});

test('a snapshot of a group that this replica is no member of is not installed', () => {
  const raft = new Raft(optionsOf(4), NOTHING);
  const snapshot = { last: { term: 2, index: 20 }, conf: { voters: [1, 2], learners: [] } };
  raft.step({ type: 'snapshot', from: 1, to: 4, term: 2, snapshot });
  const ready = raft.ready();
  assert.equal(ready.snapshot, undefined);
  assert.equal(raft.status().lastIndex, 0);
});

test('messages for another replica are ignored', () => {
  const raft = new Raft(optionsOf(1), SOUND);
  raft.step({
    type: 'vote',
    from: 2,
    to: 3,
    term: 9,
    last: { term: 9, index: 9 },
    isTransfer: true,
  });
  assert.equal(raft.status().term, 3);
});

test('no message throws, whatever numbers it carries and whatever role it meets', () => {
  for (let seed = 0; seed < 200; seed += 1) {
    const random = new SeededRandom(seed);
    const replica = new DiskReplica(optionsOf(1), chance(random, 1, 8) ? NOTHING : SOUND);
    for (let step = 0; step < 120; step += 1) {
      replica.raft.step(anyMessage(random, replica.raft.status().term));
      if (chance(random, 1, 10)) replica.raft.campaign();
      if (chance(random, 1, 10)) replica.raft.propose([utf8('x')]);
      if (chance(random, 1, 3)) replica.raft.tick();
      if (!replica.isWriting && replica.raft.hasReady() && chance(random, 1, 2)) replica.begin();
      if (replica.isWriting && chance(random, 1, 2)) replica.finish();
    }
  }
});

function anyMessage(random: Random, term: number): Message {
  const id = (): { term: number; index: number } => ({
    term: random.below(term + 2),
    index: random.below(14),
  });
  const envelope = {
    from: 2 + random.below(4),
    to: 1,
    term: Math.max(term + between(random, -1, 1), 0),
  };
  const readSequence = random.below(5);
  const granted = chance(random, 1, 2);
  const entries = Array.from({ length: random.below(4) }, (_, offset) =>
    chance(random, 1, 6) ? entry(id().term, id().index) : entry(term, 7 + offset),
  );
  const messages: readonly Message[] = [
    { ...envelope, type: 'pre-vote', last: id() },
    { ...envelope, type: 'pre-vote-response', granted },
    { ...envelope, type: 'vote', last: id(), isTransfer: granted },
    { ...envelope, type: 'vote-response', granted },
    { ...envelope, type: 'append', previous: id(), entries, commit: random.below(14) },
    { ...envelope, type: 'append-response', index: random.below(14) },
    { ...envelope, type: 'append-response', index: random.below(14), hint: id() },
    { ...envelope, type: 'heartbeat', commit: random.below(14), readSequence },
    { ...envelope, type: 'heartbeat-response', readSequence },
    {
      ...envelope,
      type: 'snapshot',
      snapshot: { last: id(), conf: { voters: [1, 2, 3], learners: [] } },
    },
    { ...envelope, type: 'timeout-now' },
  ];
  return messages[random.below(messages.length)] ?? { ...envelope, type: 'timeout-now' };
}
