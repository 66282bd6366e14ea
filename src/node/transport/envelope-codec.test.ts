import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { MatrixError } from '../../kernel/errors.ts';
import { EXCHANGE_REQUESTS } from '../../wire/frames.ts';
import type { Entry, Message } from '../raft/messages.ts';
import type { ReplicaDescriptor } from '../shard/shard-meta.ts';
import { fromWireEnvelope, toWireEnvelope } from './envelope-codec.ts';
import type { Envelope } from './transport.ts';

/** Plain objects, as the codec makes them: fast-check's own have no prototype. */
const record = <T>(model: { [Key in keyof T]: fc.Arbitrary<T[Key]> }): fc.Arbitrary<T> =>
  fc.record(model, { noNullPrototype: true });

const number = fc.nat();
const key = fc.uint8Array({ maxLength: 20 });
const id = record({ term: number, index: number });
const sequence = fc
  .tuple(id, fc.array(record({ step: fc.nat(3), data: key }), { maxLength: 8 }))
  .map(([previous, parts]) => {
    let term = previous.term;
    const entries = parts.map(({ step, data }, at): Entry => {
      term += step;
      const kind = (['normal', 'conf', 'empty'] as const)[step % 3] ?? 'normal';
      return { term, index: previous.index + at + 1, kind, data };
    });
    return { previous, entries };
  });

/** One arbitrary for each kind: the record's type makes the compiler ask for a new kind's. */
const BODIES: { [Type in Message['type']]: fc.Arbitrary<object> } = {
  'pre-vote': record({ last: id }),
  'pre-vote-response': record({ granted: fc.boolean() }),
  vote: record({ last: id, isTransfer: fc.boolean() }),
  'vote-response': record({ granted: fc.boolean() }),
  append: fc.tuple(sequence, number).map(([parts, commit]) => ({ ...parts, commit })),
  'append-response': fc.record(
    { index: number, hint: id },
    { requiredKeys: ['index'], noNullPrototype: true },
  ),
  heartbeat: record({ commit: number, readSequence: number }),
  'heartbeat-response': record({ readSequence: number }),
  snapshot: record({
    snapshot: record({
      last: id,
      conf: record({ voters: fc.array(number), learners: fc.array(number) }),
    }),
  }),
  'timeout-now': fc.constant({}),
};

const replica: fc.Arbitrary<ReplicaDescriptor> = record({
  replicaId: number,
  storeId: number,
  role: fc.constantFrom('voter' as const, 'learner' as const),
});

function envelopesOf(type: Message['type']): fc.Arbitrary<Envelope> {
  return record({
    shardId: number,
    toStoreId: number,
    from: replica,
    to: replica,
    shard: record({
      start: key,
      end: key,
      epoch: record({ generation: number, confVersion: number }),
    }),
    term: number,
    body: BODIES[type],
  }).map(({ term, body, ...rest }) => {
    const sender = { from: rest.from.replicaId, to: rest.to.replicaId, term };
    // The arbitrary of a kind makes the fields of that kind; the compiler cannot follow the table.
    return { ...rest, message: { ...sender, ...body, type } as Message };
  });
}

function throughBytes(envelope: Envelope): Envelope {
  const bytes = EXCHANGE_REQUESTS.encode({ envelopes: [toWireEnvelope(envelope)] });
  const [wire] = EXCHANGE_REQUESTS.decode(bytes).envelopes;
  assert.ok(wire);
  return fromWireEnvelope(wire);
}

const APPEND: Envelope = {
  shardId: 1,
  toStoreId: 2,
  from: { replicaId: 10, storeId: 1, role: 'voter' },
  to: { replicaId: 20, storeId: 2, role: 'voter' },
  shard: {
    start: new Uint8Array(0),
    end: new Uint8Array(0),
    epoch: { generation: 1, confVersion: 1 },
  },
  message: {
    type: 'append',
    from: 10,
    to: 20,
    term: 3,
    previous: { term: 2, index: 5 },
    entries: [{ term: 3, index: 6, kind: 'normal', data: Uint8Array.of(1, 2, 3) }],
    commit: 5,
  },
};

/** Decodes an append whose wire form was changed after encoding. */
function decodeChanged(change: Record<string, unknown>): Envelope {
  const [wire] = EXCHANGE_REQUESTS.decode(
    EXCHANGE_REQUESTS.encode({ envelopes: [toWireEnvelope(APPEND)] }),
  ).envelopes;
  assert.ok(wire);
  return fromWireEnvelope({ ...wire, ...change });
}

function isInvalid(error: unknown): boolean {
  return error instanceof MatrixError && error.code === 'INVALID_ARGUMENT';
}

describe('envelope codec', () => {
  for (const type of Object.keys(BODIES) as Message['type'][]) {
    test(`${type} survives the way out and back`, () => {
      fc.assert(
        fc.property(envelopesOf(type), (envelope) => {
          assert.deepEqual(throughBytes(envelope), envelope);
        }),
        { numRuns: 50 },
      );
    });
  }

  test('entry data does not keep the frame alive', () => {
    const { message } = throughBytes(APPEND);
    assert.equal(message.type, 'append');
    if (message.type !== 'append') return;
    assert.equal(message.entries[0]?.data.buffer.byteLength, 3);
  });

  test('an envelope without message, sender or epoch is refused', () => {
    assert.throws(() => decodeChanged({ body: { case: undefined } }), isInvalid);
    assert.throws(() => decodeChanged({ from: undefined }), isInvalid);
    assert.throws(() => decodeChanged({ epoch: undefined }), isInvalid);
    assert.throws(() => decodeChanged({ term: 2n ** 63n }), isInvalid);
  });

  test('entries with a hole or a falling term are refused', () => {
    const { message } = APPEND;
    assert.ok(message.type === 'append');
    const data = Uint8Array.of();
    const holed = [{ term: 3, index: 7, kind: 'normal', data }] as const;
    const falling = [{ term: 1, index: 6, kind: 'normal', data }] as const;
    for (const entries of [holed, falling]) {
      const bad = { ...APPEND, message: { ...message, entries } };
      assert.throws(() => throughBytes(bad), isInvalid);
    }
  });

  test('garbage bytes give an error of ours or an envelope, nothing else', () => {
    const valid = EXCHANGE_REQUESTS.encode({ envelopes: [toWireEnvelope(APPEND)] });
    const damage = record({ at: fc.nat(valid.length - 1), byte: fc.nat(255) });
    fc.assert(
      fc.property(fc.array(damage, { minLength: 1, maxLength: 4 }), (damages) => {
        const bytes = Uint8Array.from(valid);
        for (const { at, byte } of damages) bytes[at] = byte;
        try {
          EXCHANGE_REQUESTS.decode(bytes).envelopes.map(fromWireEnvelope);
        } catch (error) {
          assert.ok(isInvalid(error), String(error));
        }
      }),
      { numRuns: 1000 },
    );
  });
});
