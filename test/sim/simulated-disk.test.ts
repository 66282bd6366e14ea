import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { utf8, view } from '../../src/kernel/bytes.ts';
import { SeededRandom } from '../../src/kernel/random.ts';
import type { Engine } from '../../src/node/storage/engine.ts';
import { Scheduler } from './scheduler.ts';
import { SimulatedClock } from './simulated-clock.ts';
import { SimulatedDisk } from './simulated-disk.ts';

const KEY = utf8('key');
const SPEED = { writeMicrosMin: 1_000, writeMicrosMax: 5_000, slowPerMille: 0 };

interface Rig {
  readonly scheduler: Scheduler;
  readonly disk: SimulatedDisk;
  readonly clock: SimulatedClock;
  readonly engine: Engine;
}

function rig(seed = 1): Rig {
  const scheduler = new Scheduler();
  const disk = new SimulatedDisk({ random: new SeededRandom(seed), speed: SPEED });
  const clock = new SimulatedClock({ scheduler });
  return { scheduler, disk, clock, engine: disk.open(clock) };
}

function read(engine: Engine): string | undefined {
  const bytes = engine.get(KEY);
  return bytes === undefined ? undefined : view(bytes).toString();
}

/** Writes and tells when the disk has it. */
function write(engine: Engine, value: string): { isDurable: boolean } {
  const state = { isDurable: false };
  void engine.write([{ type: 'put', key: KEY, value: utf8(value) }]).then(() => {
    state.isDurable = true;
  });
  return state;
}

describe('the simulated disk', () => {
  test('a write takes time and then survives every crash', async () => {
    const { scheduler, disk, clock, engine } = rig();
    const state = write(engine, 'a');
    await scheduler.run({ untilMs: 0.5 });
    assert.equal(state.isDurable, false);
    await scheduler.run({ untilMs: 10 });
    assert.equal(state.isDurable, true);
    clock.kill();
    assert.equal(disk.crash(), 'idle');
    assert.equal(read(disk.open(new SimulatedClock({ scheduler }))), 'a');
  });

  test('a crash loses or keeps the write in flight, which is never reported durable', async () => {
    const seen = new Set<string>();
    for (let seed = 1; seed <= 20; seed += 1) {
      const { scheduler, disk, clock, engine } = rig(seed);
      const state = write(engine, 'a');
      await scheduler.run({ untilMs: 0.5 });
      clock.kill();
      const fate = disk.crash();
      const reopened = disk.open(new SimulatedClock({ scheduler }));
      await scheduler.run({ untilMs: 100 });
      assert.equal(state.isDurable, false);
      assert.equal(read(reopened), fate === 'kept' ? 'a' : undefined);
      seen.add(fate);
    }
    assert.deepEqual([...seen].sort(), ['kept', 'lost']);
  });

  test('a dead process cannot write any more', async () => {
    const { scheduler, disk, clock, engine } = rig();
    clock.kill();
    disk.crash();
    write(engine, 'ghost');
    const reopened = disk.open(new SimulatedClock({ scheduler }));
    await scheduler.run({ untilMs: 100 });
    assert.equal(read(reopened), undefined);
    assert.equal(disk.crash(), 'idle');
  });

  test('a stalled disk ends no write until the stall is over', async () => {
    const { scheduler, disk, engine } = rig();
    disk.stall(1_000);
    const state = write(engine, 'a');
    await scheduler.run({ untilMs: 999 });
    assert.equal(state.isDurable, false);
    await scheduler.run({ untilMs: 1_010 });
    assert.equal(state.isDurable, true);
  });

  test('the end of a stall lets the write through', async () => {
    const { scheduler, disk, engine } = rig();
    disk.stall(1_000_000);
    const state = write(engine, 'a');
    await scheduler.run({ untilMs: 500 });
    disk.endStall();
    await scheduler.run({ untilMs: 700 });
    assert.equal(state.isDurable, true);
  });
});
