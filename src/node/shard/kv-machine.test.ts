import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EMPTY, utf8 } from '../../kernel/bytes.ts';
import { dataKey, machineStateKey, sessionKey } from '../storage/keys.ts';
import type { SplitCommand } from './commands.ts';
import { clientId, deleteOf, MachineRig, putOf, stampOf, WHOLE_SHARD } from './machine-suite.ts';
import { decodeValue } from './record.ts';
import type { CommandResult } from './results.ts';
import { SESSION_WINDOW_MAX, SESSIONS_MAX } from './sessions.ts';

let sequence = 0;

/** A stamp that nobody has used. */
function fresh(): ReturnType<typeof stampOf> {
  sequence += 1;
  return stampOf(1, sequence, sequence);
}

function put(key: string, value: string, options = {}): ReturnType<typeof putOf> {
  return putOf(key, value, { session: fresh(), ...options });
}

function remove(key: string, options = {}): ReturnType<typeof deleteOf> {
  return deleteOf(key, { session: fresh(), ...options });
}

function written(applied: boolean, existed: boolean, version: number): CommandResult {
  return { type: 'written', applied, existed, version };
}

function storedAt(rig: MachineRig, key: string): { value: string; version: number } | undefined {
  const at = dataKey(utf8(key));
  const record = rig.engine.get(at);
  if (record === undefined) return undefined;
  const { value, version } = decodeValue(at, record);
  return { value: Buffer.from(value).toString(), version };
}

test('a put writes, a delete removes, and each takes the next version', async () => {
  const rig = new MachineRig();
  assert.deepEqual(await rig.one(put('a', '1')), written(true, false, 1));
  assert.deepEqual(await rig.one(put('a', '2')), written(true, true, 2));
  assert.deepEqual(storedAt(rig, 'a'), { value: '2', version: 2 });
  assert.deepEqual(await rig.one(remove('a')), written(true, true, 3));
  assert.equal(storedAt(rig, 'a'), undefined);
  assert.deepEqual(await rig.one(remove('a')), written(true, false, 4));
  assert.deepEqual(await rig.one(put('a', '3')), written(true, false, 5));
});

test('commands of one turn see each other', async () => {
  const rig = new MachineRig();
  const results = await rig.turn(
    put('a', '1'),
    put('a', '2', { precondition: { type: 'version', version: 1 } }),
    remove('a'),
    put('a', '3', { precondition: { type: 'absent' } }),
  );
  assert.deepEqual(results, [
    written(true, false, 1),
    written(true, true, 2),
    written(true, true, 3),
    written(true, false, 4),
  ]);
});

test('a precondition decides by what is there, and a refusal names the version', async () => {
  const rig = new MachineRig();
  const absent = { precondition: { type: 'absent' } };
  const present = { precondition: { type: 'present' } };
  const at = (version: number): object => ({ precondition: { type: 'version', version } });
  const table: [ReturnType<typeof put>, CommandResult][] = [
    [put('a', '1', present), written(false, false, 0)],
    [put('a', '1', at(0)), written(false, false, 0)],
    [remove('a', present), written(false, false, 0)],
    [put('a', '1', absent), written(true, false, 1)],
    [put('a', '2', absent), written(false, true, 1)],
    [remove('a', absent), written(false, true, 1)],
    [put('a', '2', at(2)), written(false, true, 1)],
    [put('a', '2', at(1)), written(true, true, 2)],
    [put('a', '3', present), written(true, true, 3)],
    [remove('a', at(2)), written(false, true, 3)],
    [remove('a', at(3)), written(true, true, 4)],
    [remove('a', absent), written(true, false, 5)],
  ];
  for (const [command, expected] of table) assert.deepEqual(await rig.one(command), expected);
  assert.equal(rig.machine.counters.lastVersion, 5);
});

test('lesson 4: a repeated call gets its first answer, whatever happened since', async () => {
  const rig = new MachineRig();
  const session = stampOf(9, 1);
  const create = putOf('a', '1', { session, precondition: { type: 'absent' } });
  assert.deepEqual(await rig.one(create), written(true, false, 1));
  await rig.one(put('a', '2'));
  assert.deepEqual(await rig.one(create), written(true, false, 1));
  assert.deepEqual(storedAt(rig, 'a'), { value: '2', version: 2 });
  const reopened = await rig.reopened();
  assert.deepEqual(await reopened.one(create), written(true, false, 1));
  assert.equal(reopened.machine.counters.lastVersion, 2);
});

test('lesson 4: the answer of a failed precondition is remembered too', async () => {
  const rig = new MachineRig();
  const session = stampOf(9, 1);
  const create = putOf('a', '1', { session, precondition: { type: 'present' } });
  assert.deepEqual(await rig.one(create), written(false, false, 0));
  await rig.one(put('a', '2'));
  assert.deepEqual(await rig.one(create), written(false, false, 0));
  assert.deepEqual(storedAt(rig, 'a'), { value: '2', version: 1 });
});

test('a wrong generation or a key outside of the range is refused and not remembered', async () => {
  const meta = { ...WHOLE_SHARD, start: utf8('b'), end: utf8('d') };
  const rig = new MachineRig({ meta });
  const session = stampOf(9, 1);
  for (const key of ['a', 'd', 'z', '']) {
    assert.deepEqual(await rig.one(putOf(key, '', { session })), { type: 'epoch-not-match' });
  }
  for (const generation of [0, 2, Number.MAX_SAFE_INTEGER]) {
    const command = putOf('b', '', { session, generation });
    assert.deepEqual(await rig.one(command), { type: 'epoch-not-match' });
  }
  assert.deepEqual(await rig.one(putOf('b', '1', { session })), written(true, false, 1));
  assert.deepEqual(await rig.one(put('cz', '1')), written(true, false, 2));
  assert.equal(rig.machine.counters.keys, 2);
});

test('the range is checked before the session: a call that moved away is not answered here', async () => {
  const rig = new MachineRig();
  const command = putOf('a', '1', { session: stampOf(9, 1) });
  await rig.one(command);
  rig.meta = { ...rig.meta, start: utf8('b'), epoch: { generation: 2, confVersion: 1 } };
  assert.deepEqual(await rig.one(command), { type: 'epoch-not-match' });
});

test('ancestor defect 12: a bad command is answered, and changes nothing', async () => {
  const rig = new MachineRig();
  await rig.one(put('a', '1'));
  const before = rig.machine.counters;
  const split: SplitCommand = {
    type: 'split',
    epoch: { generation: 1, confVersion: 1 },
    parts: [],
  };
  const bad = [EMPTY, Uint8Array.of(1), Uint8Array.of(2, 1, 1), Buffer.alloc(100, 0xff), split];
  for (const command of bad) assert.deepEqual(await rig.one(command), { type: 'bad-command' });
  assert.deepEqual(rig.machine.counters, before);
  assert.deepEqual(await rig.one(put('a', '2')), written(true, true, 2));
});

test('an empty value is a value, and an empty key is a key', async () => {
  const rig = new MachineRig();
  assert.deepEqual(await rig.one(put('', '')), written(true, false, 1));
  assert.deepEqual(storedAt(rig, ''), { value: '', version: 1 });
  assert.deepEqual(rig.machine.counters, { lastVersion: 1, sizeBytes: 0, keys: 1 });
  assert.deepEqual(
    await rig.one(put('', 'x', { precondition: { type: 'present' } })),
    written(true, true, 2),
  );
});

test('a call of an acknowledged, of a full and of a forgotten session is told apart', async () => {
  const rig = new MachineRig();
  await rig.one(putOf('a', '', { session: stampOf(2, 5, 5) }));
  assert.deepEqual(await rig.one(putOf('a', '', { session: stampOf(2, 4) })), {
    type: 'stale-duplicate',
  });
  const calls = Array.from({ length: SESSION_WINDOW_MAX + 1 }, (_, n) =>
    putOf('a', '', { session: stampOf(3, n + 1) }),
  );
  assert.deepEqual((await rig.turn(...calls)).at(-1), { type: 'session-full' });
  const others = Array.from({ length: SESSIONS_MAX }, (_, n) =>
    putOf('a', '', { session: stampOf(100 + n, 1) }),
  );
  await rig.turn(...others);
  assert.deepEqual(await rig.one(putOf('a', '', { session: stampOf(2, 6) })), {
    type: 'session-expired',
    floor: Buffer.from(clientId(3)),
  });
});

test('the floor of forgotten sessions is still there after a restart', async () => {
  const rig = new MachineRig();
  const clients = Array.from({ length: SESSIONS_MAX + 1 }, (_, n) =>
    putOf('a', '', { session: stampOf(1 + n, 1) }),
  );
  await rig.turn(...clients);
  const reopened = await rig.reopened();
  const result = await reopened.one(putOf('a', '', { session: stampOf(1, 2) }));
  assert.equal(result.type, 'session-expired');
});

test('splitOff() gives the new shard its counters and the sessions, and shrinkTo() the rest', async () => {
  const rig = new MachineRig();
  const call = putOf('a', '1', { session: stampOf(9, 1) });
  await rig.turn(call, put('b', '2'), put('c', '33'));
  await rig.write((batch) => {
    const { lastVersion } = rig.machine.counters;
    rig.machine.splitOff(2, { lastVersion, sizeBytes: 2, keys: 1 }, batch);
    rig.machine.shrinkTo({ sizeBytes: 5, keys: 2 });
    rig.machine.flush(batch);
  });
  assert.deepEqual(rig.machine.counters, { lastVersion: 3, sizeBytes: 5, keys: 2 });
  const parent = await rig.reopened();
  assert.deepEqual(parent.machine.counters, { lastVersion: 3, sizeBytes: 5, keys: 2 });
  const meta = { ...rig.meta, id: 2, end: utf8('b') };
  const child = await new MachineRig({ engine: rig.engine, meta }).reopened();
  assert.deepEqual(child.machine.counters, { lastVersion: 3, sizeBytes: 2, keys: 1 });
  assert.deepEqual(
    await child.one(call),
    written(true, false, 1),
    'lesson 4: both halves remember',
  );
  assert.deepEqual(await child.one(put('a', '5')), written(true, true, 4), 'versions go on');
});

test('lesson 4: a new shard forgets idle sessions of its parent before those it serves', async () => {
  const parent = new MachineRig({ index: 1_000_000 });
  const idle = Array.from({ length: SESSIONS_MAX - 1 }, (_, n) =>
    putOf('a', '', { session: stampOf(1 + n, 1) }),
  );
  await parent.turn(...idle);
  await parent.one(putOf('a', '', { session: stampOf(500, 1) }));
  await parent.write((batch) => {
    parent.machine.splitOff(2, { ...parent.machine.counters }, batch);
  });
  // The log of a new group starts again at the beginning.
  const meta = { ...parent.meta, id: 2 };
  const child = await new MachineRig({ engine: parent.engine, meta }).reopened();
  await child.one(putOf('a', '', { session: stampOf(500, 2) }));
  await child.one(putOf('a', '', { session: stampOf(600, 1) }));
  const again = await child.one(putOf('a', '', { session: stampOf(500, 3) }));
  assert.equal(again.type, 'written', 'the session in use is not the one to forget');
});

test('load() forgets what was in memory, also when the disk holds nothing', async () => {
  const rig = new MachineRig();
  await rig.turn(put('a', '1'));
  const operations = [
    { type: 'delete', key: machineStateKey(1) },
    { type: 'delete', key: sessionKey(1, clientId(1)) },
  ] as const;
  await rig.engine.write(operations);
  const reader = { get: () => undefined, list: async () => [] };
  await rig.machine.load(reader);
  assert.deepEqual(rig.machine.counters, { lastVersion: 0, sizeBytes: 0, keys: 0 });
  const result = await rig.one(putOf('z', '', { session: stampOf(1, 1) }));
  assert.deepEqual(result, written(true, false, 1));
});
