import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { rangeContains } from '../../kernel/bytes.ts';
import { dataRange, userKeyOf } from '../storage/keys.ts';
import { encodeCommand, type WriteCommand } from './commands.ts';
import type { Precondition } from './kv-types.ts';
import { contentOf, deleteOf, MachineRig, putOf, stampOf, WHOLE_SHARD } from './machine-suite.ts';
import { decodeValue } from './record.ts';
import type { CommandResult } from './results.ts';

const META = { ...WHOLE_SHARD, start: Buffer.from('b'), end: Buffer.from('f') };

const precondition: fc.Arbitrary<Precondition | undefined> = fc.oneof(
  { weight: 3, arbitrary: fc.constant(undefined) },
  fc.constantFrom<Precondition>({ type: 'absent' }, { type: 'present' }),
  fc.nat(12).map((version): Precondition => ({ type: 'version', version })),
);

const write: fc.Arbitrary<WriteCommand> = fc
  .record({
    key: fc.constantFrom('a', 'b', 'bb', 'c', 'd', 'e', 'f'),
    value: fc.string({ maxLength: 6 }),
    isDelete: fc.boolean(),
    client: fc.integer({ min: 1, max: 3 }),
    sequence: fc.integer({ min: 1, max: 20 }),
    acknowledgedBelow: fc.nat(12),
    generation: fc.constantFrom(1, 1, 1, 1, 2),
    precondition,
  })
  .map(({ key, value, isDelete, client, sequence, ...rest }) => {
    const options = {
      session: stampOf(client, sequence, rest.acknowledgedBelow),
      generation: rest.generation,
      ...(rest.precondition !== undefined && { precondition: rest.precondition }),
    };
    return isDelete ? deleteOf(key, options) : putOf(key, value, options);
  });

const command = fc.oneof(
  { weight: 9, arbitrary: write.map(encodeCommand) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 30 }) },
);

/** Turns: how many commands each takes, and whether the process is restarted before it. */
const boundaries = fc.array(
  fc.record({ length: fc.integer({ min: 1, max: 7 }), restart: fc.boolean() }),
);

async function applied(
  commands: readonly Uint8Array[],
  turns: readonly { readonly length: number; readonly restart: boolean }[],
): Promise<{ results: CommandResult[]; rig: MachineRig }> {
  let rig = new MachineRig({ meta: META });
  const results: CommandResult[] = [];
  const cuts = turns[Symbol.iterator]();
  for (let at = 0; at < commands.length; ) {
    const turn = cuts.next().value ?? { length: 1, restart: false };
    if (turn.restart) rig = await rig.reopened();
    results.push(...(await rig.turn(...commands.slice(at, at + turn.length))));
    at += turn.length;
  }
  return { results, rig };
}

test('the same commands give the same answers and bytes, however turns and restarts fall', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(command, { maxLength: 60 }), boundaries, async (commands, turns) => {
      const whole = await applied(commands, [{ length: 1000, restart: false }]);
      const cut = await applied(commands, turns);
      assert.deepEqual(cut.results, whole.results);
      assert.deepEqual(await contentOf(cut.rig.engine), await contentOf(whole.rig.engine));
    }),
    { numRuns: 150 },
  );
});

test('ancestor defect 9: size and number of keys are exactly those of the data', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(command, { maxLength: 60 }), boundaries, async (commands, turns) => {
      const { rig } = await applied(commands, turns);
      const range = { ...dataRange({ start: Buffer.alloc(0), end: Buffer.alloc(0) }) };
      const page = await rig.engine.scan({ ...range, limit: 1000, bytesMax: 1e9 });
      let sizeBytes = 0;
      for (const { key, value } of page.entries) {
        const stored = decodeValue(key, value);
        assert.ok(stored.version <= rig.machine.counters.lastVersion);
        assert.ok(rangeContains(META, userKeyOf(key)), 'no key outside of the range is written');
        sizeBytes += userKeyOf(key).length + stored.value.length;
      }
      const { keys, ...rest } = rig.machine.counters;
      assert.equal(keys, page.entries.length);
      assert.equal(rest.sizeBytes, sizeBytes);
    }),
    { numRuns: 150 },
  );
});

test('lesson 4: a list of calls that is sent a second time changes nothing', async () => {
  const unacknowledged = write.map((one) => ({
    ...one,
    session: { ...one.session, acknowledgedBelow: 0 },
  }));
  await fc.assert(
    fc.asyncProperty(fc.array(unacknowledged, { maxLength: 40 }), async (calls) => {
      const rig = new MachineRig({ meta: META });
      const first = await rig.turn(...calls);
      const before = await contentOf(rig.engine);
      const again = await rig.turn(...calls);
      assert.deepEqual(await contentOf(rig.engine), before);
      assert.deepEqual(again, first);
    }),
    { numRuns: 100 },
  );
});
