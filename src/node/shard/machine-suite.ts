// The ground of the tests of this room: a state machine of user data over a memory engine, driven in
// turns as the store loop drives it, and short ways to say commands.

import { EMPTY, utf8 } from '../../kernel/bytes.ts';
import type { Engine, EngineEntry } from '../storage/engine.ts';
import { MemoryEngine } from '../storage/memory-engine.ts';
import { OverlayBatch } from '../storage/overlay-batch.ts';
import { type Command, encodeCommand, type SessionStamp, type WriteCommand } from './commands.ts';
import { KvMachine } from './kv-machine.ts';
import type { Precondition } from './kv-types.ts';
import { type CommandResult, decodeResult } from './results.ts';
import type { ShardMeta } from './shard-meta.ts';
import type { ApplyBatch, StateReader } from './state-machine.ts';

export const WHOLE_SHARD: ShardMeta = {
  id: 1,
  start: EMPTY,
  end: EMPTY,
  epoch: { generation: 1, confVersion: 1 },
  replicas: [
    { replicaId: 10, storeId: 1, role: 'voter' },
    { replicaId: 11, storeId: 2, role: 'voter' },
    { replicaId: 12, storeId: 3, role: 'learner' },
  ],
};

/** Sixteen bytes that sort by `order`, as the ids of clients sort by their time of creation. */
export function clientId(order: number): Uint8Array {
  const id = Buffer.alloc(16);
  id.writeUInt32BE(order, 4);
  return id;
}

export function stampOf(client: number, sequence: number, acknowledgedBelow = 0): SessionStamp {
  return { clientId: clientId(client), sequence, acknowledgedBelow };
}

interface WriteOptions {
  readonly session: SessionStamp;
  readonly generation?: number;
  readonly precondition?: Precondition;
}

export function putOf(key: string, value: string, options: WriteOptions): WriteCommand {
  return { type: 'put', generation: 1, key: utf8(key), value: utf8(value), ...options };
}

export function deleteOf(key: string, options: WriteOptions): WriteCommand {
  return { type: 'delete', generation: 1, key: utf8(key), ...options };
}

export function engineReader(engine: Engine): StateReader {
  const list = async (range: { start: Uint8Array; end: Uint8Array }): Promise<EngineEntry[]> => {
    const page = await engine.scan({ ...range, limit: 1e6, bytesMax: Number.MAX_SAFE_INTEGER });
    return [...page.entries];
  };
  return { get: (key) => engine.get(key), list };
}

/** Everything that an engine holds, as text that two engines can be compared by. */
export async function contentOf(engine: Engine): Promise<string[]> {
  const all = { start: EMPTY, end: EMPTY, limit: 1e6, bytesMax: Number.MAX_SAFE_INTEGER };
  const { entries } = await engine.scan(all);
  return entries.map(
    ({ key, value }) => `${Buffer.from(key).toString('hex')}=${Buffer.from(value).toString('hex')}`,
  );
}

/** One shard's state machine whose turns become durable at once. */
export class MachineRig {
  readonly engine: MemoryEngine;
  readonly machine: KvMachine;
  meta: ShardMeta;
  #index: number;

  constructor(options: { engine?: MemoryEngine; meta?: ShardMeta; index?: number } = {}) {
    this.engine = options.engine ?? new MemoryEngine();
    this.meta = options.meta ?? WHOLE_SHARD;
    this.#index = options.index ?? 5;
    this.machine = new KvMachine(this.meta.id, () => this.meta);
  }

  /** Another machine that knows only what this one's disk says. */
  async reopened(): Promise<MachineRig> {
    const { engine, meta } = this;
    const rig = new MachineRig({ engine, meta, index: this.#index });
    await rig.machine.load(engineReader(engine));
    return rig;
  }

  /** Applies commands in one turn and makes them durable. */
  async turn(...commands: readonly (Command | Uint8Array)[]): Promise<CommandResult[]> {
    const batch = new OverlayBatch(this.engine);
    const results = commands.map((command) => {
      const bytes = command instanceof Uint8Array ? command : encodeCommand(command);
      this.#index += 1;
      return decodeResult(this.machine.apply({ term: 5, index: this.#index }, bytes, batch));
    });
    this.machine.flush(batch);
    await this.engine.write(batch.operations());
    return results;
  }

  /** One command in a turn of its own. */
  async one(command: Command | Uint8Array): Promise<CommandResult> {
    const [result] = await this.turn(command);
    if (result === undefined) throw new Error('A command has a result');
    return result;
  }

  /** Lets something write to the batch of a turn. */
  async write(work: (batch: ApplyBatch) => void): Promise<void> {
    const batch = new OverlayBatch(this.engine);
    work(batch);
    await this.engine.write(batch.operations());
  }
}
