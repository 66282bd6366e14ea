import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MatrixError } from '../../src/kernel/errors.ts';
import { SILENT } from '../../src/kernel/observer.ts';
import {
  claimMember,
  type ProphetStartOptions,
  waitUntilMayVote,
} from '../../src/node/prophet-start.ts';
import { AddressBook } from '../../src/node/routing/address-book.ts';
import { peerAnswer } from '../../src/wire/peer-messages.ts';
import { Scheduler } from '../sim/scheduler.ts';
import { SimulatedClock } from '../sim/simulated-clock.ts';

type History = 'none' | 'some' | 'away';

/** The two other members, and what Prophet's leader would say; undefined when nobody leads. */
interface Others {
  b: History;
  c: History;
  leader: boolean | undefined;
}

class Start {
  readonly scheduler = new Scheduler();
  readonly others: Others;
  result: 'waiting' | 'votes' | string = 'waiting';

  constructor(others: Others) {
    this.others = others;
  }

  options(): ProphetStartOptions {
    const names = ['a', 'b', 'c'];
    return {
      clock: new SimulatedClock({ scheduler: this.scheduler }),
      observer: SILENT,
      addressBook: new AddressBook(names.map((name) => ({ name, address: `${name}:1` }))),
      transport: { call: (address) => this.#answer(address) },
      prophet: {
        probeMember: () => {
          const { leader } = this.others;
          if (leader !== undefined) return Promise.resolve({ hasTakenPart: leader });
          return Promise.reject(new MatrixError('UNAVAILABLE', 'Nobody leads'));
        },
      },
      name: 'a',
      nonce: Buffer.alloc(16, 1),
      isStopped: () => false,
    };
  }

  async run(work: (options: ProphetStartOptions) => Promise<void>, ms = 3000): Promise<string> {
    work(this.options()).then(
      () => {
        this.result = 'votes';
      },
      (error: unknown) => {
        this.result = error instanceof MatrixError ? error.code : String(error);
      },
    );
    await this.scheduler.run({ untilMs: this.scheduler.now() + ms });
    return this.result;
  }

  async #answer(address: string): Promise<ReturnType<typeof peerAnswer>> {
    const history = address.startsWith('b') ? this.others.b : this.others.c;
    if (history === 'away') throw new MatrixError('UNAVAILABLE', 'Not there');
    return peerAnswer({ case: 'probeReplica', value: { hasHistory: history === 'some' } });
  }
}

test('a member with an empty disk votes once a majority has no history', async () => {
  assert.equal(
    await new Start({ b: 'none', c: 'away', leader: undefined }).run(waitUntilMayVote),
    'votes',
  );
});

test('a member with an empty disk waits while it is alone', async () => {
  const start = new Start({ b: 'away', c: 'away', leader: undefined });
  assert.equal(await start.run(waitUntilMayVote), 'waiting');
  start.others.b = 'none';
  await start.scheduler.run({ untilMs: start.scheduler.now() + 3000 });
  assert.equal(start.result, 'votes');
});

test('one member with a history outweighs any number without: the leader must be asked', async () => {
  const start = new Start({ b: 'none', c: 'some', leader: undefined });
  assert.equal(await start.run(waitUntilMayVote), 'waiting');
  start.others.leader = false;
  await start.scheduler.run({ untilMs: start.scheduler.now() + 3000 });
  assert.equal(start.result, 'votes');
});

test('a member that took part before never votes from an empty disk', async () => {
  const start = new Start({ b: 'some', c: 'some', leader: true });
  assert.equal(await start.run(waitUntilMayVote), 'PRECONDITION_FAILED');
});

test('claimMember() asks until a leader answers, and refuses a second disk', async () => {
  const start = new Start({ b: 'some', c: 'some', leader: undefined });
  assert.equal(await start.run(claimMember), 'waiting');
  start.others.leader = false;
  await start.scheduler.run({ untilMs: start.scheduler.now() + 3000 });
  assert.equal(start.result, 'votes');
  const second = new Start({ b: 'some', c: 'some', leader: true });
  assert.equal(await second.run(claimMember), 'PRECONDITION_FAILED');
});
