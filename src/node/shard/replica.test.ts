import assert from 'node:assert/strict';
import { test } from 'node:test';
import { utf8 } from '../../kernel/bytes.ts';
import { dataKey, logRange } from '../storage/keys.ts';
import { encodeCommand } from './commands.ts';
import { putOf, stampOf } from './machine-suite.ts';
import { LONE_SHARD, ReplicaRig, TRIO_SHARD, wordOf } from './replica-rig-suite.ts';
import { decodeResult } from './results.ts';

let sequence = 0;

function put(key: string, value = 'v'): Uint8Array {
  sequence += 1;
  return encodeCommand(putOf(key, value, { session: stampOf(1, sequence, sequence) }));
}

function isOnDisk(rig: ReplicaRig, key: string): boolean {
  return rig.engine.get(dataKey(utf8(key))) !== undefined;
}

test('a lone replica leads, applies a write and answers it', async () => {
  const rig = await ReplicaRig.open(LONE_SHARD);
  await rig.lead();
  assert.equal(rig.replica.isReadReady, true);
  const told = rig.propose(put('a'));
  await rig.settle();
  assert.equal(told.length, 1);
  const [answer] = told;
  assert.ok(answer !== undefined && 'value' in answer);
  assert.equal(decodeResult(answer.value).type, 'written');
  assert.ok(isOnDisk(rig, 'a'));
});

test('lesson 1: a turn that is lost loses data, applied index and session together', async () => {
  const rig = await ReplicaRig.open(LONE_SHARD);
  await rig.lead();
  rig.propose(put('a'));
  await rig.settle();
  const before = rig.applyState();
  const call = put('b');
  rig.propose(call);
  // The entry becomes durable; the turn that applies it does not.
  await rig.collect().finish();
  const { batch } = rig.collect();
  assert.ok(batch.get(dataKey(utf8('b'))) !== undefined, 'this turn has the write');
  await rig.reopen();
  assert.deepEqual(rig.applyState(), before);
  assert.equal(isOnDisk(rig, 'b'), false);
  // The new leader commits what was durable, and applies it once.
  await rig.lead();
  assert.ok(isOnDisk(rig, 'b'));
  const { machine } = rig.replica.machine;
  assert.ok('counters' in machine);
  assert.equal(machine.counters.lastVersion, 2);
  const again = rig.propose(call);
  await rig.settle();
  assert.equal(wordOf(again), 'answered');
  assert.equal(machine.counters.lastVersion, 2);
});

test('lesson 1: entries that change nothing move the applied index too', async () => {
  const rig = await ReplicaRig.open(LONE_SHARD);
  assert.deepEqual(rig.applyState().applied, { term: 5, index: 5 });
  await rig.lead();
  assert.deepEqual(rig.applyState().applied, { term: 6, index: 6 }, 'the empty entry');
  rig.propose(Uint8Array.of(9, 9));
  await rig.settle();
  assert.deepEqual(rig.applyState().applied, { term: 6, index: 7 }, 'a bad command');
  const { epoch } = rig.replica.meta;
  rig.replica.proposeConf({ type: 'promote', epoch, replicaId: 77 });
  await rig.settle();
  assert.deepEqual(rig.applyState().applied, { term: 6, index: 8 }, 'a refused change of members');
  rig.replica.proposeConf({ type: 'add-learner', epoch, replicaId: 20, storeId: 4 });
  await rig.settle();
  assert.deepEqual(rig.applyState().applied, { term: 6, index: 9 }, 'a change of members');
  assert.deepEqual(rig.record().meta, rig.replica.meta);
  assert.equal(rig.replica.durable.index, 9);
});

test('nothing that was promised leaves before the disk has it', async () => {
  const rig = await ReplicaRig.open(TRIO_SHARD);
  const vote = { type: 'vote', from: 11, to: 10, term: 9, isTransfer: true } as const;
  rig.replica.receive({ ...vote, last: { term: 8, index: 8 } });
  const { finish } = rig.collect();
  assert.deepEqual(rig.sent, []);
  await finish();
  assert.deepEqual(rig.sent, [{ type: 'vote-response', from: 10, to: 11, term: 9, granted: true }]);
  await rig.reopen();
  assert.equal(rig.replica.status().vote, 11);
});

test('a reader waits until what was committed before is applied and on disk', async () => {
  const rig = await ReplicaRig.open(TRIO_SHARD);
  await rig.lead();
  rig.propose(put('a'));
  await rig.settle();
  await rig.acknowledge();
  const told = rig.read();
  await rig.settle();
  assert.equal(wordOf(told), '', 'no quorum has confirmed the leader');
  rig.propose(put('b'));
  await rig.settle();
  await rig.confirmReads();
  assert.equal(wordOf(told), 'answered');
  const later = rig.read();
  await rig.settle();
  const { term } = rig.replica;
  const index = rig.replica.status().lastIndex;
  rig.replica.receive({ type: 'append-response', from: 11, to: 10, term, index });
  const after = rig.read();
  const heard = rig.sent.findLast((message) => message.type === 'heartbeat');
  assert.ok(heard?.type === 'heartbeat');
  const turn = rig.collect();
  const round = rig.sent.findLast((message) => message.type === 'heartbeat');
  assert.ok(round?.type === 'heartbeat');
  const { readSequence } = round;
  rig.replica.receive({ type: 'heartbeat-response', from: 11, to: 10, term, readSequence });
  assert.equal(wordOf(after), '');
  await turn.finish();
  await rig.settle();
  assert.equal(wordOf(later), 'answered');
  assert.equal(wordOf(after), 'answered');
  assert.ok(isOnDisk(rig, 'b'));
});

test('lesson 2: a new leader serves no read before something of its term is committed', async () => {
  const rig = await ReplicaRig.open(TRIO_SHARD);
  rig.replica.campaign();
  await rig.settle();
  const { term } = rig.replica;
  rig.replica.receive({ type: 'vote-response', from: 11, to: 10, term, granted: true });
  await rig.settle();
  assert.equal(rig.replica.isLeader, true);
  assert.equal(rig.replica.isReadReady, false);
  const told = rig.read();
  await rig.settle();
  assert.equal(wordOf(told), '');
  assert.equal(rig.replica.hasWork(), false, 'it does not spin meanwhile');
  await rig.acknowledge();
  assert.equal(rig.replica.isReadReady, true);
  await rig.confirmReads();
  assert.equal(wordOf(told), 'answered');
});

test('a reader waits for its index also when it is applied in slices', async () => {
  const rig = await ReplicaRig.open(TRIO_SHARD, { applyBytesMax: 1 });
  await rig.lead();
  for (const key of ['a', 'b', 'c']) rig.propose(put(key));
  await rig.settle();
  const { term } = rig.replica;
  const index = rig.replica.status().lastIndex;
  rig.replica.receive({ type: 'append-response', from: 11, to: 10, term, index });
  const told = rig.read();
  await rig.collect().finish();
  const round = rig.sent.findLast((message) => message.type === 'heartbeat');
  assert.ok(round?.type === 'heartbeat');
  const { readSequence } = round;
  rig.replica.receive({ type: 'heartbeat-response', from: 11, to: 10, term, readSequence });
  await rig.collect().finish();
  assert.equal(rig.replica.durable.index, index - 1);
  assert.equal(wordOf(told), '', 'c is committed and not applied');
  await rig.collect().finish();
  assert.equal(wordOf(told), 'answered');
});

test('a reader who waits for a new leader to get ready is turned away when it is deposed', async () => {
  const rig = await ReplicaRig.open(TRIO_SHARD);
  rig.replica.campaign();
  await rig.settle();
  const { term } = rig.replica;
  rig.replica.receive({ type: 'vote-response', from: 11, to: 10, term, granted: true });
  const told = rig.read();
  await rig.settle();
  rig.depose();
  await rig.settle();
  assert.equal(wordOf(told), 'NOT_LEADER not-applied');
});

test('lesson 4: a deposed leader does not know the fate of its writes, and turns readers away', async () => {
  const rig = await ReplicaRig.open(TRIO_SHARD);
  await rig.lead();
  const write = rig.propose(put('a'));
  const read = rig.read();
  await rig.settle();
  rig.depose();
  const late = rig.propose(put('b'));
  await rig.settle();
  assert.equal(wordOf(write), 'OUTCOME_UNKNOWN unknown');
  assert.equal(wordOf(read), 'NOT_LEADER not-applied');
  assert.equal(wordOf(late), 'NOT_LEADER not-applied');
  const [refusal] = late;
  assert.ok(refusal !== undefined && 'error' in refusal);
  assert.equal(refusal.error.hint?.leader?.storeId, 3);
});

test('lesson 18: writes beyond the limit are refused, those within it are answered', async () => {
  const rig = await ReplicaRig.open(TRIO_SHARD, { proposalsMax: 3 });
  await rig.lead();
  const first = [rig.propose(put('a')), rig.propose(put('b'))];
  await rig.settle();
  const second = [rig.propose(put('c')), rig.propose(put('d'))];
  assert.deepEqual(second.map(wordOf), ['', 'OVERLOADED not-applied']);
  await rig.settle();
  await rig.acknowledge();
  assert.deepEqual([...first, ...second].map(wordOf), [
    'answered',
    'answered',
    'answered',
    'OVERLOADED not-applied',
  ]);
  const next = rig.propose(put('e'));
  await rig.settle();
  await rig.acknowledge();
  assert.equal(wordOf(next), 'answered');
});

test('lesson 18: reads beyond the limit are refused', async () => {
  const rig = await ReplicaRig.open(TRIO_SHARD, { readsMax: 2 });
  await rig.lead();
  const first = rig.read();
  await rig.settle();
  const [second, third] = [rig.read(), rig.read()];
  assert.deepEqual([first, second, third].map(wordOf), ['', '', 'OVERLOADED not-applied']);
  await rig.settle();
  await rig.confirmReads();
  assert.deepEqual([first, second].map(wordOf), ['answered', 'answered']);
});

test('lesson 18: the bytes of waiting writes are bounded while the disk is busy', async () => {
  const rig = await ReplicaRig.open(LONE_SHARD, {
    proposalsMax: 1000,
    uncommittedBytesMax: 10_000,
  });
  await rig.lead();
  const told = Array.from({ length: 20 }, (_, n) => rig.propose(put(`k${n}`, 'x'.repeat(900))));
  const refused = told.filter((one) => wordOf(one) === 'OVERLOADED not-applied');
  assert.ok(refused.length >= 9, `${refused.length} were refused at once`);
  await rig.settle();
  const answered = told.filter((one) => wordOf(one) === 'answered');
  assert.equal(answered.length + refused.length, 20);
  assert.ok(answered.length >= 9, `${answered.length} were answered`);
  const large = rig.propose(put('large', 'x'.repeat(20_000)));
  await rig.settle();
  assert.equal(wordOf(large), 'answered', 'a limit is no dead end for what is large on its own');
  const small = [rig.propose(put('a')), rig.propose(put('b'))];
  await rig.settle();
  assert.deepEqual(small.map(wordOf), ['answered', 'answered'], 'what was taken counts no more');
});

test('lesson 9: a learner that hears nothing any more counts the time without a leader', async () => {
  const rig = await ReplicaRig.open({
    ...TRIO_SHARD,
    replicas: TRIO_SHARD.replicas.map((replica) =>
      replica.replicaId === 10 ? { ...replica, role: 'learner' } : replica,
    ),
  });
  const heartbeat = { type: 'heartbeat', from: 11, to: 10, term: 9, commit: 5, readSequence: 0 };
  rig.replica.receive({ ...heartbeat, type: 'heartbeat' });
  await rig.settle();
  assert.equal(rig.replica.leaderlessMs, 0);
  for (let tick = 0; tick < 40; tick += 1) {
    rig.now += 50;
    rig.replica.tick();
  }
  assert.equal(rig.replica.leader, 0);
  assert.ok(rig.replica.leaderlessMs > 500, `${rig.replica.leaderlessMs} ms`);
});

test('waiters hear of their deadline once and of nothing after it', async () => {
  const rig = await ReplicaRig.open(TRIO_SHARD);
  await rig.lead();
  const write = rig.propose(put('a'), 100);
  const read = rig.read(100);
  await rig.settle();
  rig.now = 100;
  rig.replica.tick();
  assert.equal(wordOf(write), 'TIMEOUT unknown');
  assert.equal(wordOf(read), 'TIMEOUT not-applied');
  await rig.settle();
  await rig.acknowledge();
  await rig.confirmReads();
  assert.equal(wordOf(write), 'TIMEOUT unknown');
  assert.equal(wordOf(read), 'TIMEOUT not-applied');
});

test('a write that no turn has taken before its deadline was not begun', async () => {
  const rig = await ReplicaRig.open(TRIO_SHARD);
  await rig.lead();
  const [late, patient] = [rig.propose(put('a'), 100), rig.propose(put('b'), 200)];
  rig.now = 100;
  rig.replica.tick();
  assert.deepEqual([late, patient].map(wordOf), ['TIMEOUT not-applied', '']);
  await rig.settle();
  await rig.acknowledge();
  assert.deepEqual([late, patient].map(wordOf), ['TIMEOUT not-applied', 'answered']);
});

test('close() turns everybody away and takes nothing more', async () => {
  const rig = await ReplicaRig.open(TRIO_SHARD);
  await rig.lead();
  const proposed = rig.propose(put('a'));
  const reading = rig.read();
  await rig.settle();
  const queued = rig.propose(put('b'));
  rig.replica.close('The node is stopping');
  assert.equal(wordOf(proposed), 'OUTCOME_UNKNOWN unknown');
  assert.equal(wordOf(reading), 'UNAVAILABLE not-applied');
  assert.equal(wordOf(queued), 'UNAVAILABLE not-applied');
  assert.equal(wordOf(rig.propose(put('c'))), 'NOT_LEADER not-applied');
  assert.equal(wordOf(rig.read()), 'NOT_LEADER not-applied');
  assert.equal(rig.replica.hasWork(), false);
});

test('the log is cut when it is long, and what is left is a whole log', async () => {
  const rig = await ReplicaRig.open(LONE_SHARD, { logEntriesMax: 20, cutEntriesMax: 7 });
  await rig.lead();
  for (let n = 0; n < 60; n += 1) {
    rig.propose(put(`k${n}`));
    await rig.settle();
  }
  const { applied, truncated } = rig.applyState();
  assert.ok(applied.index - truncated.index <= 21, `${truncated.index} to ${applied.index}`);
  const range = logRange(1, 0, Number.MAX_SAFE_INTEGER);
  const page = await rig.engine.scan({ ...range, limit: 1e5, bytesMax: 1e9 });
  assert.equal(page.entries.length, applied.index - truncated.index);
  await rig.reopen();
  assert.deepEqual(rig.replica.durable, applied);
  await rig.lead();
  assert.equal(rig.replica.isReadReady, true);
});

test('lesson 1: the log is not cut above what is applied on disk', async () => {
  const rig = await ReplicaRig.open(LONE_SHARD, { logEntriesMax: 10, proposalsMax: 100 });
  await rig.lead();
  for (let n = 0; n < 60; n += 1) rig.propose(put(`k${n}`));
  while (rig.replica.hasWork()) {
    const { applied } = rig.applyState();
    const turn = rig.collect();
    assert.ok(rig.replica.status().truncated.index <= applied.index);
    await turn.finish();
  }
  assert.equal(rig.applyState().applied.index, 66);
});

test('a follower whose tail was rewritten shorter has no old tail on disk', async () => {
  const rig = await ReplicaRig.open(TRIO_SHARD);
  const entry = (term: number, index: number): object => ({
    term,
    index,
    kind: 'normal',
    data: put('a'),
  });
  const append = (term: number, from: number, entries: object[]): void =>
    rig.replica.receive({
      type: 'append',
      from,
      to: 10,
      term,
      previous: { term: 5, index: 5 },
      entries: entries as never,
      commit: 5,
    });
  append(6, 11, [entry(6, 6), entry(6, 7), entry(6, 8)]);
  await rig.settle();
  append(7, 12, [entry(7, 6)]);
  await rig.settle();
  const range = logRange(1, 0, Number.MAX_SAFE_INTEGER);
  const page = await rig.engine.scan({ ...range, limit: 100, bytesMax: 1e9 });
  assert.equal(page.entries.length, 1);
  await rig.reopen();
  assert.equal(rig.replica.status().lastIndex, 6);
});

test('lesson 7: a replica that applies its own removal leaves a tombstone and does nothing more', async () => {
  const rig = await ReplicaRig.open(TRIO_SHARD);
  const { encodeConfChange } = await import('./conf-change.ts');
  const { epoch } = rig.replica.meta;
  const remove = encodeConfChange({ type: 'remove', epoch, replicaId: 10 });
  rig.replica.receive({
    type: 'append',
    from: 11,
    to: 10,
    term: 6,
    previous: { term: 5, index: 5 },
    entries: [
      { term: 6, index: 6, kind: 'normal', data: put('a') },
      { term: 6, index: 7, kind: 'conf', data: remove },
      { term: 6, index: 8, kind: 'normal', data: put('b') },
    ],
    commit: 8,
  });
  await rig.settle();
  const record = rig.record();
  assert.deepEqual([record.state, record.minReplicaId], ['tombstone', 11]);
  assert.deepEqual(
    rig.effects.map(({ type }) => type),
    ['removed'],
  );
  assert.equal(isOnDisk(rig, 'b'), false, 'what comes behind the removal is not applied');
  rig.replica.tick();
  assert.equal(rig.replica.hasWork(), false);
});
