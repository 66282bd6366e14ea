import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { must } from '../../src/kernel/assert.ts';
import { between, type Random, SeededRandom } from '../../src/kernel/random.ts';
import { isLinearizableByBruteForce, VERSION_MAX } from './brute-force.ts';
import { generateHistory } from './generated-history.ts';
import { type Action, type Ending, History, type Operation, type Result } from './history.ts';
import { checkLinearizable } from './linearizable.ts';

const GET: Action = { type: 'get' };
const UNKNOWN: Ending = { type: 'unknown' };
const FAIL: Ending = { type: 'fail' };

function put(value: string): Action {
  return { type: 'put', value };
}
function ok(result: Result): Ending {
  return { type: 'ok', result };
}
function found(value: string, version: number): Ending {
  return ok({ type: 'found', value, version });
}
const ABSENT = ok({ type: 'absent' });
function written(version: number, existed = version > 1): Ending {
  return ok({ type: 'written', applied: true, existed, version });
}
function refused(version: number): Ending {
  return ok({ type: 'written', applied: false, existed: version > 0, version });
}

/** One call after the other, each ended before the next begins. */
function sequence(...calls: readonly (readonly [Action, Ending])[]): readonly Operation[] {
  const history = new History(() => 0);
  calls.forEach(([action, ending], process) => {
    history.end(history.begin({ process, key: 'k', action }), ending);
  });
  return history.operations();
}

/** All calls begin before the first ends. */
function together(...calls: readonly (readonly [Action, Ending])[]): readonly Operation[] {
  const history = new History(() => 0);
  const ids = calls.map(([action], process) => history.begin({ process, key: 'k', action }));
  calls.forEach(([, ending], index) => {
    history.end(must(ids[index], 'One id for each call'), ending);
  });
  return history.operations();
}

function verdictOf(history: readonly Operation[]): string {
  return checkLinearizable(history).type;
}

describe('a good history is accepted', () => {
  test('writes and reads one after the other', () => {
    const history = sequence(
      [GET, ABSENT],
      [put('a'), written(1)],
      [GET, found('a', 1)],
      [put('b'), written(2)],
      [GET, found('b', 2)],
      [{ type: 'delete' }, written(3)],
      [GET, ABSENT],
    );
    assert.equal(verdictOf(history), 'linearizable');
  });

  test('a read during a write may see it or not', () => {
    assert.equal(verdictOf(together([put('a'), written(1)], [GET, ABSENT])), 'linearizable');
    assert.equal(verdictOf(together([put('a'), written(1)], [GET, found('a', 1)])), 'linearizable');
  });

  test('a write of unknown outcome appears much later', () => {
    const history = sequence(
      [put('a'), UNKNOWN],
      [GET, ABSENT],
      [put('b'), written(1)],
      [GET, found('b', 1)],
      [GET, found('a', 2)],
    );
    assert.equal(verdictOf(history), 'linearizable');
  });

  test('a write of unknown outcome never appears', () => {
    const history = sequence([put('a'), UNKNOWN], [GET, ABSENT], [put('b'), written(1)]);
    assert.equal(verdictOf(history), 'linearizable');
  });

  test('a chain of unknown writes explains one read', () => {
    const create: Action = { type: 'put', value: 'c', precondition: { type: 'absent' } };
    const history = sequence(
      [put('a'), written(1)],
      [{ type: 'delete' }, UNKNOWN],
      [create, UNKNOWN],
      [GET, found('c', 7)],
    );
    assert.equal(verdictOf(history), 'linearizable');
  });

  test('an operation without an answer at the end counts as unknown', () => {
    const history = new History(() => 0);
    history.begin({ process: 0, key: 'k', action: put('a') });
    history.end(history.begin({ process: 1, key: 'k', action: GET }), found('a', 4));
    assert.equal(verdictOf(history.operations()), 'linearizable');
  });

  test('a failed write is as if it had never been asked for', () => {
    assert.equal(verdictOf(sequence([put('a'), FAIL], [GET, ABSENT])), 'linearizable');
  });

  test('compare-and-set succeeds at its version and answers the current one otherwise', () => {
    const swap = (value: string, version: number): Action => ({
      type: 'put',
      value,
      precondition: { type: 'version', version },
    });
    const history = sequence(
      [swap('x', 1), refused(0)],
      [put('a'), written(1)],
      [swap('b', 1), written(2)],
      [swap('c', 1), refused(2)],
      [{ type: 'put', value: 'd', precondition: { type: 'absent' } }, refused(2)],
      [{ type: 'put', value: 'e', precondition: { type: 'present' } }, written(5)],
      [GET, found('e', 5)],
    );
    assert.equal(verdictOf(history), 'linearizable');
  });
});

describe('a bad history is refused', () => {
  const cases: Readonly<Record<string, readonly Operation[]>> = {
    'a stale read': sequence([put('a'), written(1)], [put('b'), written(2)], [GET, found('a', 1)]),
    'a read that goes back': sequence([put('a'), UNKNOWN], [GET, found('a', 1)], [GET, ABSENT]),
    'an acknowledged write that is lost': sequence([put('a'), written(1)], [GET, ABSENT]),
    'a lost update: two swaps from the same version': together(
      [put('a'), written(1)],
      [{ type: 'put', value: 'b', precondition: { type: 'version', version: 1 } }, written(2)],
      [{ type: 'put', value: 'c', precondition: { type: 'version', version: 1 } }, written(3)],
    ),
    'a write applied twice': sequence(
      [put('a'), written(1)],
      [put('b'), written(2)],
      [GET, found('a', 3)],
    ),
    'an unknown write that appears, is replaced, and appears again': sequence(
      [put('a'), UNKNOWN],
      [GET, found('a', 1)],
      [put('b'), written(2)],
      [GET, found('a', 3)],
    ),
    'an unknown write seen before it began': sequence([GET, found('a', 1)], [put('a'), UNKNOWN]),
    'a failed write that is seen': sequence([put('a'), FAIL], [GET, found('a', 1)]),
    'a value that was never written': sequence([GET, found('ghost', 1)]),
    'a version that stands still': sequence([put('a'), written(1)], [put('b'), written(1, true)]),
    'a version that differs between write and read': sequence(
      [put('a'), written(1)],
      [GET, found('a', 2)],
    ),
    'an unknown write without room for its version': sequence(
      [put('a'), written(1)],
      [put('b'), UNKNOWN],
      [{ type: 'delete', precondition: { type: 'version', version: 1 } }, refused(2)],
      [put('c'), written(2, true)],
    ),
    'a creation over an existing key': sequence(
      [put('a'), written(1)],
      [{ type: 'put', value: 'b', precondition: { type: 'absent' } }, written(2)],
    ),
    'a refusal without a reason': sequence(
      [put('a'), written(1)],
      [{ type: 'put', value: 'b', precondition: { type: 'version', version: 1 } }, refused(1)],
    ),
    'a delete that does not know that the key was there': sequence(
      [put('a'), written(1)],
      [{ type: 'delete' }, written(2, false)],
    ),
  };
  for (const [name, history] of Object.entries(cases)) {
    test(name, () => assert.equal(verdictOf(history), 'violation'));
  }

  test('the explanation names the key, the answer that broke it, and what was open', () => {
    const history = sequence(
      [put('a'), written(1)],
      [put('lost'), UNKNOWN],
      [put('b'), written(3)],
      [GET, found('a', 4)],
      [put('later'), written(9)],
    );
    const verdict = checkLinearizable(history);
    assert.ok(verdict.type === 'violation');
    assert.match(verdict.explanation, /key "k"/);
    assert.match(verdict.explanation, /impossible with this answer:\n\s+#3 .*get -> "a" version 4/);
    assert.match(verdict.explanation, /put "lost" -> unknown/);
    assert.doesNotMatch(verdict.explanation, /later"/);
  });
});

test('an answer older than one that was known before is explained by these two', () => {
  const history = sequence([put('a'), written(1)], [put('b'), written(2)], [GET, found('a', 1)]);
  const verdict = checkLinearizable(history);
  assert.ok(verdict.type === 'violation');
  assert.match(verdict.explanation, /went back.*\n.*#1 .*put "b".*\n.*\n.*#2 .*get -> "a"/);
});

describe('generated histories', () => {
  test('long ones from a real atomic key are accepted', () => {
    for (let seed = 1; seed <= 12; seed += 1) {
      const history = generateHistory({
        random: new SeededRandom(seed),
        operations: 3_000,
        processes: between(new SeededRandom(seed), 2, 16),
        unknownPercent: seed % 4 === 0 ? 0 : 2 * (seed % 4),
      });
      assert.equal(verdictOf(history), 'linearizable', `seed ${seed}`);
    }
  });

  test('long ones with one answer from the past are refused', () => {
    for (let seed = 1; seed <= 12; seed += 1) {
      const random = new SeededRandom(seed);
      const options = { random, operations: 1_000, processes: 8, unknownPercent: 3 };
      const history = withStaleRead(generateHistory(options), random);
      assert.equal(verdictOf(history), 'violation', `seed ${seed}`);
    }
  });

  test('short ones, good and spoiled, are judged as by trying every order', () => {
    const counts = { linearizable: 0, violation: 0 };
    for (let seed = 1; seed <= 3_000; seed += 1) {
      const random = new SeededRandom(seed);
      const made = generateHistory({
        random,
        operations: between(random, 2, 6),
        processes: between(random, 1, 4),
        unknownPercent: 35,
      });
      const history = seed % 4 === 0 ? made : spoil(made, random);
      const expected = isLinearizableByBruteForce(history) ? 'linearizable' : 'violation';
      assert.equal(verdictOf(history), expected, `seed ${seed}`);
      counts[expected] += 1;
    }
    assert.ok(counts.linearizable > 400 && counts.violation > 400, JSON.stringify(counts));
  });
});

test('a search that reaches its bound says that it is undecided', () => {
  const options = { random: new SeededRandom(1), operations: 100, processes: 4, unknownPercent: 0 };
  const verdict = checkLinearizable(generateHistory(options), { stepsMaxPerKey: 50 });
  assert.equal(verdict.type, 'undecided');
});

test('a violation on one key is found among good keys', () => {
  const good = generateHistory({
    random: new SeededRandom(3),
    operations: 50,
    processes: 3,
    unknownPercent: 0,
  });
  const bad = sequence([put('a'), written(1)], [GET, ABSENT]);
  const renamed = bad.map((operation) => ({ ...operation, key: 'other' }));
  const verdict = checkLinearizable([...good, ...renamed]);
  assert.ok(verdict.type === 'violation');
  assert.equal(verdict.key, 'other');
});

/** Makes a late read answer what an early one saw, although the key was written in between. */
function withStaleRead(history: readonly Operation[], random: Random): readonly Operation[] {
  const reads = history.filter(
    ({ action, ending }) =>
      action.type === 'get' && ending.type === 'ok' && ending.result.type === 'found',
  );
  const early = must(reads[random.below(Math.floor(reads.length / 4))], 'There are early reads');
  const late = must(reads.at(-1 - random.below(20)), 'There are late reads');
  return history.map((operation) =>
    operation === late ? { ...operation, ending: early.ending } : operation,
  );
}

/** Changes one answer or one end a little: the result may be good or bad. */
function spoil(history: readonly Operation[], random: Random): readonly Operation[] {
  const at = random.below(history.length);
  const other = must(history[random.below(history.length)], 'The index is in range');
  return history.map((operation, index) => {
    if (index !== at || operation.ending.type !== 'ok') return operation;
    const { result } = operation.ending;
    const kind = random.below(3);
    if (kind === 0 && operation.action.type === 'get' && other.action.type === 'put') {
      const version = random.below(VERSION_MAX - 4);
      return { ...operation, ending: found(other.action.value, version) };
    }
    if (kind === 1 && result.type === 'written') {
      const version = result.version + random.below(3) - 1;
      return { ...operation, ending: ok({ ...result, version: Math.max(0, version) }) };
    }
    if (kind === 2 && result.type === 'written') {
      return { ...operation, ending: ok({ ...result, applied: !result.applied }) };
    }
    return result.type === 'found' ? { ...operation, ending: ABSENT } : operation;
  });
}
