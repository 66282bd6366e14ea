import assert from 'node:assert/strict';
import { test } from 'node:test';
import { utf8 } from '../../kernel/bytes.ts';
import type { ConfState, Entry } from '../raft/messages.ts';
import { applyStateKey, destroyKey, hardStateKey, metaKey, sessionKey } from '../storage/keys.ts';
import { MemoryEngine } from '../storage/memory-engine.ts';
import { OverlayBatch } from '../storage/overlay-batch.ts';
import { Applier } from './applier.ts';
import { encodeCommand, type SplitCommand, type WriteCommand } from './commands.ts';
import { encodeConfChange } from './conf-change.ts';
import { KvMachine } from './kv-machine.ts';
import { clientId, putOf, stampOf, WHOLE_SHARD } from './machine-suite.ts';
import { decodeResult } from './results.ts';
import type { ShardMeta } from './shard-meta.ts';
import {
  decodeApplyState,
  decodeHardState,
  decodeMeta,
  putHardState,
  putMeta,
} from './shard-records.ts';
import type { Effect } from './turn.ts';
import { Proposals } from './waiters.ts';

/** An applier of replica 10 on store 1; every call of `apply` is one turn. */
class ApplierRig {
  readonly engine = new MemoryEngine();
  readonly batch = new OverlayBatch(this.engine);
  readonly effects: Effect[] = [];
  readonly reserved: number[] = [];
  readonly told: ConfState[] = [];
  readonly answers: string[] = [];
  readonly applier: Applier;
  #index = 5;

  constructor(options: { replicaId?: number; meta?: ShardMeta } = {}) {
    const proposals = new Proposals();
    this.applier = new Applier({
      replicaId: options.replicaId ?? 10,
      meta: options.meta ?? WHOLE_SHARD,
      raft: { applyConf: (conf) => this.told.push(conf), role: 'leader' },
      proposals,
      applied: { term: 5, index: 5 },
      machine: (meta) => ({ type: 'data', machine: new KvMachine(1, meta) }),
    });
    this.#proposals = proposals;
  }

  readonly #proposals: Proposals;

  apply(...entries: readonly { kind: Entry['kind']; data: Uint8Array }[]): void {
    const numbered = entries.map(({ kind, data }): Entry => {
      this.#index += 1;
      const id = { term: 5, index: this.#index };
      const resolve = (value: Uint8Array): void => {
        this.answers.push(value.length === 0 ? 'nothing' : decodeResult(value).type);
      };
      this.#proposals.add(id, {
        deadline: 1,
        resolve,
        reject: () => this.answers.push('rejected'),
      });
      return { ...id, kind, data };
    });
    this.applier.apply(numbered, {
      batch: this.batch,
      send: () => {},
      effect: (effect) => this.effects.push(effect),
      reserve: ({ id }) => this.reserved.push(id),
    });
  }

  has(key: Uint8Array): boolean {
    return this.batch.get(key) !== undefined;
  }

  meta(shardId: number): ReturnType<typeof decodeMeta> {
    return decodeMeta(metaKey(shardId), this.batch.get(metaKey(shardId)) ?? new Uint8Array());
  }
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}

function command(one: WriteCommand | SplitCommand): { kind: 'normal'; data: Uint8Array } {
  return { kind: 'normal', data: encodeCommand(one) };
}

function put(key: string, sequence: number, generation = 1): { kind: 'normal'; data: Uint8Array } {
  return command(putOf(key, 'value', { session: stampOf(1, sequence), generation }));
}

const SPLIT: SplitCommand = {
  type: 'split',
  epoch: WHOLE_SHARD.epoch,
  parts: [
    { end: utf8('g'), shardId: 100, replicaIds: [101, 102, 103], sizeBytes: 6, keys: 1 },
    { end: utf8('p'), shardId: 200, replicaIds: [201, 202, 203], sizeBytes: 0, keys: 0 },
  ],
};

test('lesson 1: every kind of entry moves the applied position, and is answered', () => {
  const rig = new ApplierRig();
  rig.apply(
    { kind: 'empty', data: new Uint8Array() },
    put('a', 1),
    { kind: 'normal', data: Uint8Array.of(7) },
    { kind: 'conf', data: Uint8Array.of(7) },
    { kind: 'normal', data: Uint8Array.of(1, 3, 0) },
  );
  assert.deepEqual(rig.applier.applied, { term: 5, index: 10 });
  assert.deepEqual(rig.answers, [
    'nothing',
    'written',
    'bad-command',
    'nothing',
    'epoch-not-match',
  ]);
  assert.ok(rig.has(sessionKey(1, clientId(1))));
});

test('lesson 7: the core hears of every change of members, also of nonsense', () => {
  const rig = new ApplierRig();
  const { epoch } = WHOLE_SHARD;
  rig.apply({ kind: 'conf', data: Uint8Array.of(1, 2, 3) });
  rig.apply({
    kind: 'conf',
    data: encodeConfChange({ type: 'promote', epoch: { ...epoch, confVersion: 9 }, replicaId: 12 }),
  });
  assert.deepEqual(rig.applier.meta, WHOLE_SHARD);
  rig.apply({ kind: 'conf', data: encodeConfChange({ type: 'promote', epoch, replicaId: 12 }) });
  assert.deepEqual(rig.told, [
    { voters: [10, 11], learners: [12] },
    { voters: [10, 11], learners: [12] },
    { voters: [10, 11, 12], learners: [] },
  ]);
  assert.equal(rig.meta(1).meta.epoch.confVersion, 2);
});

test('lesson 8: a split writes the whole first state of each new shard in its own turn', () => {
  const rig = new ApplierRig();
  rig.apply(put('a', 1), put('z', 2), command(SPLIT), put('z', 3, 1), put('z', 4, 3));
  assert.deepEqual(rig.answers, ['written', 'written', 'split-done', 'epoch-not-match', 'written']);
  assert.deepEqual(rig.reserved, [100, 200]);
  for (const [id, start, end] of [
    [100, '', 'g'],
    [200, 'g', 'p'],
  ] as const) {
    const { meta, state, replicaId } = rig.meta(id);
    assert.deepEqual([textOf(meta.start), textOf(meta.end)], [start, end]);
    assert.deepEqual([state, replicaId], ['normal', id + 1]);
    const first = { term: 5, index: 5 };
    const applyKey = applyStateKey(id);
    const apply = decodeApplyState(applyKey, rig.batch.get(applyKey) ?? new Uint8Array());
    assert.deepEqual(apply, { applied: first, truncated: first });
    const hardKey = hardStateKey(id);
    const hard = decodeHardState(hardKey, rig.batch.get(hardKey) ?? new Uint8Array());
    assert.deepEqual(hard, { term: 5, vote: 0, commit: 5 });
    assert.ok(rig.has(sessionKey(id, clientId(1))), 'lesson 4');
  }
  const rest = rig.meta(1).meta;
  assert.equal(textOf(rest.start), 'p');
  assert.deepEqual(rest.epoch, { generation: 3, confVersion: 1 });
  const { machine } = rig.applier.machine;
  assert.ok('counters' in machine);
  assert.deepEqual(machine.counters, { lastVersion: 3, sizeBytes: 6, keys: 1 });
  const split = rig.effects.find((effect) => effect.type === 'split');
  assert.ok(split?.type === 'split' && split.wasLeader);
  assert.deepEqual(
    split.created.map(({ id }) => id),
    [100, 200],
  );
});

test('lesson 8: a split keeps the vote that the new replica gave before', () => {
  const rig = new ApplierRig();
  putHardState(rig.batch, 100, { term: 9, vote: 102, commit: 0 });
  putHardState(rig.batch, 200, { term: 3, vote: 202, commit: 0 });
  rig.apply(command(SPLIT));
  const hard = (id: number): unknown =>
    decodeHardState(hardStateKey(id), rig.batch.get(hardStateKey(id)) ?? new Uint8Array());
  assert.deepEqual(hard(100), { term: 9, vote: 102, commit: 5 });
  assert.deepEqual(hard(200), { term: 5, vote: 0, commit: 5 }, 'a vote of an older term is void');
});

test('lesson 8: a new replica that was removed before the split came here is not made', () => {
  const rig = new ApplierRig();
  const meta = { ...WHOLE_SHARD, id: 100, end: utf8('g') };
  putMeta(rig.batch, { state: 'tombstone', meta, replicaId: 108, minReplicaId: 109 });
  rig.apply(command(SPLIT));
  assert.deepEqual(rig.reserved, [200]);
  assert.equal(rig.meta(100).state, 'tombstone');
  assert.equal(rig.meta(100).minReplicaId, 109, 'lesson 9: the bound never falls');
  assert.ok(rig.has(destroyKey(100)), 'its keys are destroyed');
  assert.equal(rig.has(applyStateKey(100)), false);
  const split = rig.effects.find((effect) => effect.type === 'split');
  assert.ok(split?.type === 'split');
  assert.deepEqual(
    split.created.map(({ id }) => id),
    [200],
  );
  assert.equal(rig.meta(1).meta.epoch.generation, 3);
});

test('a split that does not fit changes nothing, and later entries go on', () => {
  const rig = new ApplierRig();
  rig.apply(command({ ...SPLIT, epoch: { generation: 1, confVersion: 2 } }), put('a', 1));
  assert.deepEqual(rig.answers, ['epoch-not-match', 'written']);
  assert.deepEqual(rig.applier.meta, WHOLE_SHARD);
  assert.deepEqual(rig.effects, []);
  assert.equal(rig.has(metaKey(100)), false);
});

test('lesson 7: nothing is applied behind the removal of this very replica', () => {
  const rig = new ApplierRig();
  const { epoch } = WHOLE_SHARD;
  const remove = encodeConfChange({ type: 'remove', epoch, replicaId: 10 });
  rig.apply(put('a', 1), { kind: 'conf', data: remove }, put('b', 2));
  assert.equal(rig.applier.isRemoved, true);
  assert.deepEqual(rig.answers, ['written', 'nothing']);
  assert.deepEqual(rig.applier.applied, { term: 5, index: 7 });
  assert.deepEqual([rig.meta(1).state, rig.meta(1).minReplicaId], ['tombstone', 11]);
  assert.deepEqual(
    rig.effects.map(({ type }) => type),
    ['removed'],
  );
});

test('the removal of another replica is a change like any other', () => {
  const rig = new ApplierRig({ replicaId: 11 });
  const { epoch } = WHOLE_SHARD;
  const remove = encodeConfChange({ type: 'remove', epoch, replicaId: 10 });
  rig.apply({ kind: 'conf', data: remove });
  assert.equal(rig.applier.isRemoved, false);
  assert.deepEqual([rig.meta(1).state, rig.meta(1).replicaId], ['normal', 11]);
  assert.deepEqual(rig.told, [{ voters: [11], learners: [12] }]);
});
