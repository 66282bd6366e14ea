import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EMPTY, utf8 } from '../../kernel/bytes.ts';
import { MatrixError } from '../../kernel/errors.ts';
import { Proposals, ReadWaits, type Waiter } from './waiters.ts';

const GONE = new MatrixError('NOT_LEADER', 'Gone');

/** A waiter that writes down everything it is told. */
class Heard {
  readonly said: string[] = [];

  waiter<Value>(name: string, deadline = 1000): Waiter<Value> {
    return {
      deadline,
      resolve: (value) => {
        const text = value instanceof Uint8Array ? Buffer.from(value).toString() : 'go';
        this.said.push(`${name}: ${text}`);
      },
      reject: (error) => this.said.push(`${name}: ${error.code} ${error.outcome}`),
    };
  }
}

test('a writer gets the answer of its own entry, once', () => {
  const heard = new Heard();
  const proposals = new Proposals();
  proposals.add({ term: 2, index: 5 }, heard.waiter('a'));
  proposals.add({ term: 2, index: 6 }, heard.waiter('b'));
  proposals.settle({ term: 2, index: 4 }, utf8('nobody'));
  proposals.settle({ term: 2, index: 6 }, utf8('six'));
  proposals.settle({ term: 2, index: 6 }, utf8('again'));
  proposals.expire(5000);
  proposals.abandon({});
  assert.deepEqual(heard.said, ['b: six', 'a: TIMEOUT unknown']);
  assert.equal(proposals.size, 0);
});

test('lesson 4: a writer whose place another term took was not applied', () => {
  const heard = new Heard();
  const proposals = new Proposals();
  proposals.add({ term: 2, index: 5 }, heard.waiter('a'));
  proposals.settle({ term: 3, index: 5 }, utf8('another'));
  assert.deepEqual(heard.said, ['a: NOT_LEADER not-applied']);
});

test('lesson 4: a writer whose place is only proposed anew does not know its fate', () => {
  const heard = new Heard();
  const proposals = new Proposals();
  proposals.add({ term: 2, index: 5 }, heard.waiter('a'));
  // The entry of term 2 may live on in another log and be committed by a later leader.
  proposals.add({ term: 4, index: 5 }, heard.waiter('b'));
  assert.deepEqual(heard.said, ['a: OUTCOME_UNKNOWN unknown']);
  proposals.settle({ term: 4, index: 5 }, utf8('done'));
  assert.deepEqual(heard.said.slice(1), ['b: done']);
});

test('lesson 4: writers do not know their fate when leadership is lost', () => {
  const heard = new Heard();
  const proposals = new Proposals();
  let told: MatrixError | undefined;
  const reject = (error: MatrixError): void => {
    told = error;
  };
  proposals.add({ term: 2, index: 5 }, heard.waiter('a'));
  proposals.add({ term: 2, index: 6 }, { deadline: 1, resolve: () => {}, reject });
  const hint = { leader: { replicaId: 1, storeId: 2, term: 3 } };
  proposals.abandon(hint);
  proposals.settle({ term: 2, index: 5 }, EMPTY);
  assert.deepEqual(heard.said, ['a: OUTCOME_UNKNOWN unknown']);
  assert.deepEqual(told?.hint, hint);
  assert.equal(told?.retry, 'elsewhere');
});

test('writers expire at their own deadlines', () => {
  const heard = new Heard();
  const proposals = new Proposals();
  proposals.add({ term: 2, index: 5 }, heard.waiter('a', 10));
  proposals.add({ term: 2, index: 6 }, heard.waiter('b', 20));
  proposals.expire(9);
  assert.deepEqual(heard.said, []);
  proposals.expire(10);
  assert.deepEqual(heard.said, ['a: TIMEOUT unknown']);
  proposals.settle({ term: 2, index: 5 }, EMPTY);
  assert.equal(proposals.size, 1);
});

test('readers go when their round is confirmed and its index applied', () => {
  const heard = new Heard();
  const reads = new ReadWaits();
  reads.ask(heard.waiter('a'));
  reads.startRound(1);
  reads.ask(heard.waiter('b'));
  assert.equal(reads.hasAsked, true);
  reads.startRound(2);
  assert.equal(reads.hasAsked, false);
  reads.serve(100);
  assert.deepEqual(heard.said, [], 'nothing is confirmed');
  reads.confirm(2, 50);
  reads.serve(49);
  assert.deepEqual(heard.said, [], 'nothing is applied so far');
  reads.serve(50);
  reads.serve(50);
  assert.deepEqual(heard.said, ['b: go']);
  assert.equal(reads.size, 1);
  reads.confirm(1, 40);
  reads.serve(50);
  assert.deepEqual(heard.said, ['b: go', 'a: go']);
  assert.equal(reads.size, 0);
});

test('two rounds may share a number', () => {
  const heard = new Heard();
  const reads = new ReadWaits();
  reads.ask(heard.waiter('a'));
  reads.startRound(1);
  reads.ask(heard.waiter('b'));
  reads.startRound(1);
  reads.confirm(1, 7);
  reads.serve(7);
  assert.deepEqual(heard.said, ['a: go', 'b: go']);
});

test('all readers are turned away together, asked or on their way, once', () => {
  const heard = new Heard();
  const reads = new ReadWaits();
  reads.ask(heard.waiter('a'));
  reads.startRound(1);
  reads.ask(heard.waiter('b'));
  assert.equal(reads.size, 2);
  reads.abandon(GONE);
  reads.abandon(GONE);
  reads.confirm(1, 1);
  reads.serve(9);
  assert.deepEqual(heard.said, ['b: NOT_LEADER not-applied', 'a: NOT_LEADER not-applied']);
  assert.equal(reads.size, 0);
});

test('readers expire at their own deadlines, the others of their round go on', () => {
  const heard = new Heard();
  const reads = new ReadWaits();
  reads.ask(heard.waiter('a', 10));
  reads.ask(heard.waiter('b', 20));
  reads.startRound(1);
  reads.confirm(1, 3);
  reads.ask(heard.waiter('c', 10));
  reads.expire(10);
  assert.deepEqual(heard.said.sort(), ['a: TIMEOUT not-applied', 'c: TIMEOUT not-applied']);
  assert.equal(reads.size, 1);
  reads.serve(3);
  assert.equal(heard.said.at(-1), 'b: go');
});
