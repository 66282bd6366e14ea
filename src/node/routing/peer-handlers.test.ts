import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AssertionError } from '../../kernel/assert.ts';
import { utf8 } from '../../kernel/bytes.ts';
import { fromErrorMessage } from '../../wire/error-codec.ts';
import type { PeerRequest, PeerResponse } from '../../wire/gen/matrixkv/v1/peer_pb.ts';
import { type PeerQuestion, peerRequest } from '../../wire/peer-messages.ts';
import type { Precondition } from '../shard/kv-types.ts';
import { AddressBook } from './address-book.ts';
import { TestCluster } from './cluster-suite.ts';
import { createCallHandler } from './peer-handlers.ts';
import { writeCall } from './shard-call.ts';

const SESSION = { clientId: new Uint8Array(16).fill(1), sequence: 2n, acknowledgedBelow: 1n };
const PUT = { case: 'put', value: { key: utf8('k'), value: utf8('v') } } as const;

class TestNode {
  readonly cluster = new TestCluster();
  readonly addressBook = new AddressBook([]);
  readonly fatal: unknown[] = [];
  readonly #handle = createCallHandler({
    localStore: () => this.cluster.store(1),
    prophet: () => undefined,
    addressBook: this.addressBook,
    onFatal: (error) => {
      this.fatal.push(error);
    },
  });

  constructor() {
    this.cluster.addShard({ id: 1 }, 1);
  }

  ask(question: PeerQuestion | PeerRequest['request']): Promise<PeerResponse> {
    const from = { storeId: 2, address: 'peer:1' };
    return this.cluster.settle(this.#handle(peerRequest(question), from, { deadline: 1000 }));
  }

  async codeOf(question: PeerQuestion | PeerRequest['request']): Promise<string> {
    const { response } = await this.ask(question);
    return response.case === 'error' ? fromErrorMessage(response.value).code : 'none';
  }
}

describe('peer handlers', () => {
  test('what makes no sense is answered, and never reaches a shard', async () => {
    const node = new TestNode();
    const shard = { shardId: 1n, generation: 1n };
    const bad: PeerQuestion[] = [
      { case: 'shard', value: { ...shard, operation: PUT } },
      {
        case: 'shard',
        value: { ...shard, operation: PUT, session: { ...SESSION, clientId: utf8('x') } },
      },
      {
        case: 'shard',
        value: { ...shard, operation: PUT, session: { ...SESSION, acknowledgedBelow: 3n } },
      },
      { case: 'shard', value: { ...shard, shardId: 2n ** 60n, operation: PUT, session: SESSION } },
      { case: 'shard', value: { ...shard, operation: { case: 'get', value: {} } } },
      { case: 'shard', value: { ...shard, operation: { case: 'scan', value: { limit: 0 } } } },
      {
        case: 'shard',
        value: {
          ...shard,
          session: SESSION,
          operation: { case: 'put', value: { ...PUT.value, precondition: {} } },
        },
      },
    ];
    for (const question of bad) assert.equal(await node.codeOf(question), 'INVALID_ARGUMENT');
    assert.equal(await node.codeOf({ case: 'shard', value: shard }), 'UNSUPPORTED');
    assert.equal(await node.codeOf({ case: undefined }), 'UNSUPPORTED');
    assert.equal(node.cluster.data.size, 0);
    assert.equal(
      await node.codeOf({ case: 'shard', value: { ...shard, operation: PUT, session: SESSION } }),
      'none',
    );
    assert.equal(node.cluster.data.size, 1);
  });

  test('a node that is no member of Prophet says so', async () => {
    assert.equal(await new TestNode().codeOf({ case: 'cluster', value: {} }), 'NOT_LEADER');
  });

  test('a replica is shown as it is, and one that is not here is not made up', async () => {
    const node = new TestNode();
    const here = await node.ask({ case: 'probeReplica', value: { shardId: 1n, replicaId: 12n } });
    assert.ok(here.response.case === 'probeReplica');
    assert.equal(here.response.value.shard?.replicas.length, 3);
    const absent = await node.ask({ case: 'probeReplica', value: { shardId: 9n, replicaId: 12n } });
    assert.ok(absent.response.case === 'probeReplica');
    assert.equal(absent.response.value.shard, undefined);
  });

  test('a bug is answered as INTERNAL with unknown outcome; a broken invariant is the end', async () => {
    const node = new TestNode();
    const question: PeerQuestion = {
      case: 'shard',
      value: { shardId: 1n, generation: 1n, operation: PUT, session: SESSION },
    };
    node.cluster.store(1).write = () => Promise.reject(new TypeError('A bug'));
    assert.equal(await node.codeOf(question), 'INTERNAL');
    assert.deepEqual(node.fatal, []);
    node.cluster.store(1).write = () => Promise.reject(new AssertionError('Broken'));
    assert.equal(await node.codeOf(question), 'INTERNAL');
    assert.equal(node.fatal.length, 1);
  });

  test('every caller is a peer whose address is worth knowing', async () => {
    const node = new TestNode();
    await node.ask({ case: 'cluster', value: {} });
    assert.equal(node.addressBook.addressOf(2), 'peer:1');
  });

  test('every precondition arrives as it was sent', async () => {
    const session = { clientId: SESSION.clientId, sequence: 2, acknowledgedBelow: 1 };
    const preconditions: (Precondition | undefined)[] = [
      undefined,
      { type: 'absent' },
      { type: 'present' },
      { type: 'version', version: 7 },
    ];
    for (const wanted of preconditions) {
      for (const type of ['put', 'delete'] as const) {
        const node = new TestNode();
        const seen: unknown[] = [];
        node.cluster.store(1).write = async ({ command }) => {
          seen.push(command.type, command.precondition, command.session.sequence);
          return { applied: true, existed: false, version: 1 };
        };
        const fields = wanted === undefined ? {} : { precondition: wanted };
        const write = { type, session, key: utf8('k'), value: utf8('v'), ...fields };
        const { response } = await node.ask(
          writeCall(write).question({ shardId: 1, generation: 1 }),
        );
        assert.deepEqual(seen, [type, wanted, 2]);
        assert.ok(response.case === 'shard');
        assert.equal(response.value.result.case, type);
      }
    }
  });
});
