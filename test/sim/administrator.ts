// The administrator of a run: hands leaderships from store to store and drains stores, at any moment
// and at any node, without looking whether it is a good one. Refusals are part of the game.

import { must } from '../../src/kernel/assert.ts';
import type { Clock } from '../../src/kernel/clock.ts';
import { sleep } from '../../src/kernel/clock.ts';
import { MatrixError } from '../../src/kernel/errors.ts';
import { between, chance, type Random } from '../../src/kernel/random.ts';
import type { AdminService, CallContext } from '../../src/node/routing/services.ts';
import type { Target } from './workload.ts';

/** What an administrator does in a run. */
export interface Errands {
  readonly transfers: boolean;
  readonly drains: boolean;
}

export interface AdministratorOptions {
  readonly random: Random;
  readonly clock: Clock;
  readonly targets: readonly Target[];
  readonly errands: Errands;
  readonly record: (line: string) => void;
  readonly onBug: (error: unknown) => void;
}

const PAUSE_MS_MAX = 1_500;
const CALL_MS = 2_000;
/** So much later than the deadline nobody waits for an answer any more. */
const PATIENCE_MS = 500;

export class Administrator {
  readonly #options: AdministratorOptions;
  readonly #drained = new Set<number>();
  #isLeaving = false;
  #isDone = false;

  constructor(options: AdministratorOptions) {
    this.#options = options;
  }

  start(): void {
    this.#run().catch((error: unknown) => this.#options.onBug(error));
  }

  /** From now on only what was drained is put back into service. */
  leave(): void {
    this.#isLeaving = true;
  }

  isDone(): boolean {
    return this.#isDone;
  }

  async #run(): Promise<void> {
    const { clock, random, errands } = this.#options;
    while (!this.#isLeaving || this.#drained.size > 0) {
      await sleep(clock, between(random, 1, PAUSE_MS_MAX));
      if (this.#isLeaving)
        await this.#try('cancel', (admin, context) => this.#cancelDrains(admin, context));
      else if (errands.transfers && chance(random, 2, 3)) await this.#try('transfer', transfer);
      else if (errands.drains) await this.#try('drain', (...call) => this.#drain(...call));
    }
    this.#isDone = true;
  }

  /** One store at a time. */
  async #drain(admin: AdminService, context: CallContext, random: Random): Promise<void> {
    if (this.#drained.size > 0) {
      await this.#cancelDrains(admin, context);
      return;
    }
    const { id } = pick(await admin.stores(context), random);
    // Whatever the answer says, it may have happened.
    this.#drained.add(id);
    await admin.drain(id, context);
  }

  /** A refusal for good says that there is nothing to cancel: the store is removed already. */
  async #cancelDrains(admin: AdminService, context: CallContext): Promise<void> {
    for (const id of this.#drained) {
      try {
        await admin.cancelDrain(id, context);
      } catch (error) {
        if (!(error instanceof MatrixError) || error.retry !== 'no') throw error;
      }
      this.#drained.delete(id);
    }
  }

  /** A node that does not answer any more is left alone, as a person would do. */
  async #try(
    name: string,
    work: (admin: AdminService, context: CallContext, random: Random) => Promise<void>,
  ): Promise<void> {
    const { random, clock, targets, record } = this.#options;
    const target = pick(targets, random);
    const endpoint = target.endpoint();
    if (endpoint?.admin === undefined) return;
    const context = { deadline: endpoint.clock.now() + CALL_MS };
    const answer = work(endpoint.admin, context, random).then(
      () => 'done',
      (error: unknown) => {
        if (error instanceof MatrixError && error.code !== 'INTERNAL') return error.text;
        throw error;
      },
    );
    const silence = sleep(clock, CALL_MS + PATIENCE_MS).then(() => 'no answer');
    record(`administrator at ${target.name}: ${name}: ${await Promise.race([answer, silence])}`);
  }
}

async function transfer(admin: AdminService, context: CallContext, random: Random): Promise<void> {
  const shards = await admin.shards({ isLocal: chance(random, 1, 2) }, context);
  const shard = pick(shards, random);
  const { storeId } = pick(shard.replicas, random);
  await admin.transferLeader({ shardId: shard.id, storeId }, context);
}

/** Rejects as a refusal when there is nothing to choose from. */
function pick<Thing>(things: readonly Thing[], random: Random): Thing {
  if (things.length === 0) throw new MatrixError('NOT_FOUND', 'There is nothing to choose from');
  return must(things[random.below(things.length)], 'The index is in range');
}
