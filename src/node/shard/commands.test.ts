import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DecodeError } from '../../kernel/byte-codec.ts';
import { type Command, decodeCommand, encodeCommand, isSplit } from './commands.ts';
import { deleteOf, putOf, stampOf } from './machine-suite.ts';

const number = fc.maxSafeNat();
const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Uint8Array.from(array));
const clientId = fc.uint8Array({ minLength: 16, maxLength: 16 });
const plain = { noNullPrototype: true } as const;
const session = fc.record({ clientId, sequence: number, acknowledgedBelow: number }, plain);
const precondition = fc.oneof(
  fc.constant({ type: 'absent' } as const),
  fc.constant({ type: 'present' } as const),
  fc.record({ type: fc.constant('version' as const), version: number }, plain),
);
const header = { generation: number, session, key: bytes };
const put: fc.Arbitrary<Command> = fc
  .record({ ...header, type: fc.constant('put' as const), value: bytes }, plain)
  .chain((base) =>
    fc.oneof(
      fc.constant(base),
      precondition.map((one) => ({ ...base, precondition: one })),
    ),
  );
const remove: fc.Arbitrary<Command> = fc
  .record({ ...header, type: fc.constant('delete' as const) }, plain)
  .chain((base) =>
    fc.oneof(
      fc.constant(base),
      precondition.map((one) => ({ ...base, precondition: one })),
    ),
  );
const part = fc.record(
  {
    end: bytes,
    shardId: number,
    replicaIds: fc.array(number, { maxLength: 5 }),
    sizeBytes: number,
    keys: number,
  },
  plain,
);
const epoch = fc.record({ generation: number, confVersion: number }, plain);
const split: fc.Arbitrary<Command> = fc.record(
  { type: fc.constant('split' as const), epoch, parts: fc.array(part, { maxLength: 5 }) },
  plain,
);

test('decodeCommand() gives back every command that was encoded', () => {
  fc.assert(
    fc.property(fc.oneof(put, remove, split), (command) => {
      const decoded = decodeCommand(encodeCommand(command));
      assert.deepEqual(withPlainBytes(decoded), withPlainBytes(command));
      assert.equal(isSplit(encodeCommand(command)), command.type === 'split');
    }),
  );
});

test('decodeCommand() answers garbage with DecodeError and nothing else', () => {
  const start = fc.constantFrom([], [1], [1, 1], [1, 2], [1, 3], [2, 1], [0xff]);
  fc.assert(
    fc.property(start, fc.uint8Array({ maxLength: 120 }), (head, rest) => {
      try {
        decodeCommand(Uint8Array.from([...head, ...rest]));
      } catch (error) {
        assert.ok(error instanceof DecodeError, String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

test('decodeCommand() refuses a command that is cut short or goes on behind its end', () => {
  const whole = encodeCommand(putOf('key', 'value', { session: stampOf(1, 1) }));
  for (let length = 0; length < whole.length; length += 1) {
    assert.throws(() => decodeCommand(whole.subarray(0, length)), DecodeError);
  }
  assert.throws(() => decodeCommand(Buffer.concat([whole, Buffer.alloc(1)])), DecodeError);
});

test('decodeCommand() refuses a version, a kind and a precondition that it does not know', () => {
  const bytesOf = (): Uint8Array =>
    Uint8Array.from(encodeCommand(deleteOf('key', { session: stampOf(1, 1) })));
  const changed = (at: number, value: number): Uint8Array => {
    const copy = bytesOf();
    copy[at] = value;
    return copy;
  };
  const preconditionAt = 2 + 8 + 16 + 8 + 8;
  assert.throws(() => decodeCommand(changed(0, 2)), /Unknown command version 2/);
  assert.throws(() => decodeCommand(changed(1, 9)), /Unknown command kind 9/);
  assert.throws(() => decodeCommand(changed(preconditionAt, 4)), /Unknown precondition 4/);
  assert.equal(decodeCommand(changed(preconditionAt, 2)).type, 'delete');
});

test('isSplit() takes a split of an unknown version for no split', () => {
  assert.equal(isSplit(Uint8Array.of(1, 3)), true);
  assert.equal(isSplit(Uint8Array.of(2, 3)), false);
  assert.equal(isSplit(Uint8Array.of()), false);
});

/** Bytes as text, so that a Buffer equals a Uint8Array. */
function withPlainBytes(command: Command): unknown {
  return JSON.parse(
    JSON.stringify(command, (_, value: unknown) => {
      const isBuffer = typeof value === 'object' && value !== null && 'data' in value;
      if (isBuffer && Array.isArray(value.data)) return Buffer.from(value.data).toString('hex');
      return value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value;
    }),
  );
}
