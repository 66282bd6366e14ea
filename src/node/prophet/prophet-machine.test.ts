import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { KeyRange } from '../../kernel/bytes.ts';
import { compareBytes, EMPTY, rangeContains, toMapKey, utf8 } from '../../kernel/bytes.ts';
import { MatrixError } from '../../kernel/errors.ts';
import type { Random } from '../../kernel/random.ts';
import { between, chance, SeededRandom } from '../../kernel/random.ts';
import type { ApplyBatch, StateReader } from '../shard/state-machine.ts';
import type { Command } from './commands.ts';
import { answeredValue, encodeCommand } from './commands.ts';
import { ProphetMachine } from './prophet-machine.ts';

/** A disk of one map, which takes every batch at once. */
class Disk implements ApplyBatch, StateReader {
  readonly #entries = new Map<string, { key: Uint8Array; value: Uint8Array }>();

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#entries.get(toMapKey(key))?.value;
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.#entries.set(toMapKey(key), { key, value: Uint8Array.from(value) });
  }

  delete(key: Uint8Array): void {
    this.#entries.delete(toMapKey(key));
  }

  list(range: KeyRange): Promise<readonly { key: Uint8Array; value: Uint8Array }[]> {
    const found = [...this.#entries.values()].filter((entry) => rangeContains(range, entry.key));
    return Promise.resolve(found.sort((a, b) => compareBytes(a.key, b.key)));
  }
}

class Machine {
  readonly disk = new Disk();
  readonly machine = new ProphetMachine();

  get state() {
    return this.machine.state;
  }

  applyBytes(command: Uint8Array): number {
    return answeredValue(this.machine.apply({ term: 1, index: 1 }, command, this.disk));
  }

  apply(command: Command): number {
    return this.applyBytes(encodeCommand(command));
  }

  register(name: string, changes: Partial<Registration> = {}): number {
    const { id = 0, nonce = `disk of ${name}`, incarnation = 1, address = `${name}:1` } = changes;
    return this.apply({
      type: 'register-store',
      store: {
        id,
        name,
        address,
        httpAddress: `${name}:2`,
        version: '1.0.0',
        labels: { zone: 'a', disk: 'ssd' },
        isProphetMember: changes.isProphetMember ?? false,
      },
      incarnation,
      nonce: utf8(nonce),
    });
  }

  configure(maxReplicas: number): void {
    this.apply({ type: 'put-config', clusterId: 'c1', maxReplicas });
  }

  drain(storeId: number): number {
    return this.apply({ type: 'set-store-state', storeId, state: 'draining' });
  }
}

interface Registration {
  readonly id: number;
  readonly nonce: string;
  readonly incarnation: number;
  readonly address: string;
  readonly isProphetMember: boolean;
}

function refusedWith(code: string): (error: unknown) => boolean {
  return (error) => error instanceof MatrixError && error.code === code;
}

describe('registration', () => {
  test('the same disk gets the same id as often as it asks', () => {
    const machine = new Machine();
    const first = machine.register('n1');
    assert.equal(machine.register('n1'), first);
    assert.equal(machine.register('n1', { id: first, incarnation: 2, address: 'n1:9' }), first);
    assert.equal(machine.state.stores.size, 1);
    assert.equal(machine.state.stores.get(first)?.address, 'n1:9');
  });

  test('lesson 12: a lost disk is a new store, and takes the address over from the old one', () => {
    const machine = new Machine();
    const old = machine.register('n1');
    const fresh = machine.register('n1', { nonce: 'a new disk' });
    assert.notEqual(fresh, old);
    assert.equal(machine.state.stores.get(old)?.address, '');
    assert.equal(machine.state.stores.get(old)?.state, 'serving');
    assert.equal(machine.state.stores.get(fresh)?.address, 'n1:1');
  });

  test('a wrong disk, an older process and an unknown id are refused', () => {
    const machine = new Machine();
    const id = machine.register('n1', { incarnation: 5 });
    const refused = refusedWith('STORE_MISMATCH');
    assert.throws(() => machine.register('n1', { id, nonce: 'other', incarnation: 6 }), refused);
    assert.throws(() => machine.register('n1', { id, incarnation: 4 }), refused);
    assert.throws(() => machine.register('n1', { id: 99 }), refused);
    assert.throws(() => machine.register('', {}), refusedWith('INVALID_ARGUMENT'));
  });

  test('a removed store stays removed, whatever its disk says', () => {
    const machine = new Machine();
    machine.configure(1);
    const id = machine.register('n1');
    machine.register('n2');
    machine.drain(id);
    machine.apply({ type: 'set-store-state', storeId: id, state: 'removed' });
    assert.throws(() => machine.register('n1', { id }), refusedWith('STORE_REMOVED'));
    assert.throws(() => machine.register('n1'), refusedWith('STORE_REMOVED'));
    assert.throws(() => machine.drain(id), refusedWith('PRECONDITION_FAILED'));
  });

  test('the disk of a member claims its name, and another disk has taken no part', () => {
    const machine = new Machine();
    machine.register('n1', { isProphetMember: true });
    const claim = (nonce: string) =>
      machine.apply({ type: 'claim-member', name: 'n1', nonce: utf8(nonce) });
    assert.equal(claim('disk of n1'), 0);
    assert.equal(claim('a new disk'), 1);
  });
});

describe('drain', () => {
  test('lesson 11: two drains at once cannot both pass the check', () => {
    const machine = new Machine();
    machine.configure(3);
    const [a = 0, b = 0] = ['n1', 'n2', 'n3', 'n4'].map((name) => machine.register(name));
    machine.drain(a);
    assert.throws(
      () => machine.drain(b),
      /Cannot drain store 2 as 3 replicas are wanted and only 2 other stores serve/,
    );
    machine.apply({ type: 'set-store-state', storeId: a, state: 'serving' });
    machine.drain(b);
  });

  test('a store that holds a replica is not removed', () => {
    const machine = new Machine();
    machine.configure(1);
    const storeIds = [machine.register('n1')];
    machine.register('n2');
    machine.apply({ type: 'bootstrap', storeIds, splitKeys: [] });
    machine.drain(1);
    assert.throws(
      () => machine.apply({ type: 'set-store-state', storeId: 1, state: 'removed' }),
      /still holds 1 replicas/,
    );
  });
});

describe('shards and ids', () => {
  test('bootstrap makes every shard with all replicas, once', () => {
    const machine = new Machine();
    machine.configure(3);
    const storeIds = ['n1', 'n2', 'n3'].map((name) => machine.register(name));
    const bootstrap: Command = { type: 'bootstrap', storeIds, splitKeys: [utf8('m')] };
    assert.equal(machine.apply(bootstrap), 2);
    assert.throws(() => machine.apply(bootstrap), refusedWith('PRECONDITION_FAILED'));
    const [left, right] = [...machine.state.shards.values()];
    assert.ok(left && right);
    assert.deepEqual([left.start, Buffer.from(left.end).toString()], [EMPTY, 'm']);
    assert.deepEqual([Buffer.from(right.start).toString(), right.end], ['m', EMPTY]);
    assert.deepEqual(left.epoch, { generation: 1, confVersion: 1 });
    assert.deepEqual(
      left.replicas.map((replica) => replica.storeId),
      storeIds,
    );
    const ids = [left, right].flatMap((shard) => [
      shard.id,
      ...shard.replicas.map((replica) => replica.replicaId),
    ]);
    assert.equal(new Set([...ids, ...storeIds]).size, ids.length + storeIds.length);
  });

  test('only a newer epoch replaces what is known of a shard', () => {
    const machine = bootstrapped();
    const [shard] = [...machine.state.shards.values()];
    assert.ok(shard);
    const newer = { ...shard, epoch: { generation: 1, confVersion: 2 } };
    assert.equal(machine.apply({ type: 'put-shards', shards: [newer] }), 1);
    assert.equal(machine.apply({ type: 'put-shards', shards: [newer, shard] }), 0);
    assert.deepEqual(machine.state.shards.get(shard.id), newer);
  });

  test('ids are never handed out twice, and not below an id that a store reported', () => {
    const machine = bootstrapped();
    const first = machine.apply({ type: 'extend-ids', count: 10 });
    assert.equal(machine.apply({ type: 'extend-ids', count: 1 }), first + 10);
    const [shard] = [...machine.state.shards.values()];
    assert.ok(shard);
    const stranger = { ...shard, id: 5_000, epoch: { generation: 2, confVersion: 1 } };
    machine.apply({ type: 'put-shards', shards: [stranger] });
    assert.equal(machine.apply({ type: 'extend-ids', count: 1 }), 5_001);
    assert.throws(() => machine.apply({ type: 'extend-ids', count: 0 }), MatrixError);
  });

  test('the id of the cluster is written once', () => {
    const machine = bootstrapped();
    assert.throws(
      () => machine.apply({ type: 'put-config', clusterId: 'c2', maxReplicas: 3 }),
      refusedWith('STORE_MISMATCH'),
    );
  });
});

describe('durability', () => {
  test('garbage is answered, never thrown, and changes nothing', () => {
    const machine = bootstrapped();
    const before = snapshotOf(machine.machine);
    const random = new SeededRandom(7);
    for (let round = 0; round < 500; round += 1) {
      const sound = encodeCommand(randomCommand(random));
      const cut = sound.subarray(0, random.below(sound.length));
      assert.throws(() => machine.applyBytes(cut), refusedWith('INVALID_ARGUMENT'));
      const noise = Uint8Array.from({ length: random.below(40) }, () => random.below(256));
      // Anything may come out of noise, but only as an answer.
      assert.doesNotThrow(() =>
        new ProphetMachine().apply({ term: 1, index: 1 }, noise, new Disk()),
      );
    }
    assert.deepEqual(snapshotOf(machine.machine), before);
  });

  test('after any commands the state read from disk is the state in memory', async () => {
    for (let seed = 1; seed <= 30; seed += 1) {
      const random = new SeededRandom(seed);
      const machine = new Machine();
      for (let count = 0; count < 120; count += 1) {
        machine.machine.apply(
          { term: 1, index: count + 1 },
          encodeCommand(randomCommand(random)),
          machine.disk,
        );
      }
      const reloaded = new ProphetMachine();
      await reloaded.load(machine.disk);
      assert.deepEqual(snapshotOf(reloaded), snapshotOf(machine.machine), `seed ${seed}`);
      await reloaded.load(new Disk());
      assert.deepEqual(snapshotOf(reloaded), snapshotOf(new ProphetMachine()));
    }
  });
});

function bootstrapped(): Machine {
  const machine = new Machine();
  machine.configure(3);
  const storeIds = ['n1', 'n2', 'n3'].map((name) => machine.register(name));
  machine.apply({ type: 'bootstrap', storeIds, splitKeys: [] });
  return machine;
}

function snapshotOf(machine: ProphetMachine): unknown {
  const { cluster, stores, shards, members } = machine.state;
  const sorted = <K, V>(map: ReadonlyMap<K, V>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1));
  return [cluster, sorted(stores), sorted(shards), sorted(members)];
}

function randomCommand(random: Random): Command {
  const id = () => random.below(12);
  const name = `n${random.below(5)}`;
  switch (random.below(7)) {
    case 0:
    case 1:
      return {
        type: 'register-store',
        store: {
          id: chance(random, 1, 3) ? id() : 0,
          name,
          address: `${name}:1`,
          httpAddress: '',
          version: '1',
          labels: { zone: name },
          isProphetMember: chance(random, 1, 2),
        },
        incarnation: random.below(4),
        nonce: Uint8Array.of(random.below(8)),
      };
    case 2: {
      const state = (['serving', 'draining', 'removed'] as const)[random.below(3)] ?? 'serving';
      return { type: 'set-store-state', storeId: id(), state };
    }
    case 3:
      return { type: 'bootstrap', storeIds: [id()], splitKeys: [Uint8Array.of(random.below(9))] };
    case 4:
      return {
        type: 'put-shards',
        shards: [
          {
            id: id(),
            start: Uint8Array.of(random.below(3)),
            end: chance(random, 1, 2) ? EMPTY : Uint8Array.of(between(random, 1, 4)),
            epoch: { generation: random.below(4), confVersion: random.below(4) },
            replicas: [{ replicaId: random.below(50), storeId: id(), role: 'voter' }],
          },
        ],
      };
    case 5:
      return { type: 'extend-ids', count: random.below(3) };
    default:
      return chance(random, 1, 2)
        ? { type: 'put-config', clusterId: 'c1', maxReplicas: random.below(4) }
        : { type: 'claim-member', name, nonce: Uint8Array.of(random.below(3)) };
  }
}
