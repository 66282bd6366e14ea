import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SeededRandom } from '../../src/kernel/random.ts';
import { Scheduler } from './scheduler.ts';
import { SimulatedClock } from './simulated-clock.ts';

describe('the scheduler', () => {
  test('runs events in the order of their times, and of their asking at the same time', async () => {
    const scheduler = new Scheduler();
    const random = new SeededRandom(5);
    const asked = Array.from({ length: 500 }, (_, index) => ({
      index,
      delay: random.below(40) + 1,
    }));
    const order: { index: number; delay: number }[] = [];
    for (const one of asked) {
      scheduler.after(one.delay, () => {
        assert.equal(scheduler.now(), one.delay);
        order.push(one);
      });
    }
    await scheduler.run({ untilMs: 100 });
    assert.deepEqual(
      order,
      asked.toSorted((a, b) => a.delay - b.delay || a.index - b.index),
    );
  });

  test('lets all promise jobs of an event finish before the next event', async () => {
    const scheduler = new Scheduler();
    const lines: string[] = [];
    const chain = async (name: string): Promise<void> => {
      for (let step = 0; step < 50; step += 1) await null;
      lines.push(name);
    };
    for (let index = 0; index < 300; index += 1) {
      scheduler.after(1, () => {
        lines.push(`event ${index}`);
        void chain(`promise ${index}`);
      });
    }
    await scheduler.run({ untilMs: 10 });
    const expected = Array.from({ length: 300 }, (_, at) => [`event ${at}`, `promise ${at}`]);
    assert.deepEqual(lines, expected.flat());
  });

  test('a cancelled event does not run', async () => {
    const scheduler = new Scheduler();
    scheduler.after(5, () => assert.fail('It was cancelled')).cancel();
    assert.equal(await scheduler.run({ untilMs: 10 }), false);
    assert.equal(scheduler.now(), 10);
    assert.equal(scheduler.eventsRun(), 0);
  });

  test('an event that asks for another one at once lets time go on', async () => {
    const scheduler = new Scheduler();
    const again = (): void => {
      scheduler.after(0, again);
    };
    again();
    await scheduler.run({ untilMs: 1 });
    assert.ok(scheduler.eventsRun() > 500);
  });

  test('stops as soon as the condition holds, and goes on where it stopped', async () => {
    const scheduler = new Scheduler();
    let count = 0;
    for (let at = 1; at <= 10; at += 1) {
      scheduler.after(at, () => {
        count += 1;
      });
    }
    assert.equal(await scheduler.run({ untilMs: 100, until: () => count === 4 }), true);
    assert.equal(scheduler.now(), 4);
    assert.equal(await scheduler.run({ untilMs: 6 }), false);
    assert.equal(count, 6);
  });

  test('what an event throws ends the run', async () => {
    const scheduler = new Scheduler();
    scheduler.after(1, () => {
      throw new TypeError('Broken');
    });
    await assert.rejects(scheduler.run({ untilMs: 10 }), TypeError);
  });

  test('a failure that was reported in a promise job ends the run', async () => {
    const scheduler = new Scheduler();
    scheduler.after(1, () => {
      void Promise.resolve().then(() => scheduler.fail(new TypeError('Broken')));
    });
    scheduler.after(2, () => assert.fail('The run has ended'));
    await assert.rejects(scheduler.run({ untilMs: 10 }), TypeError);
  });

  test('the digest tells runs apart by what happened and when', async () => {
    const digestOf = async (delayMs: number, label: string): Promise<string> => {
      const scheduler = new Scheduler();
      scheduler.after(delayMs, () => scheduler.record(label));
      await scheduler.run({ untilMs: 10 });
      return scheduler.trace.digest();
    };
    const first = await digestOf(1, 'a');
    assert.equal(await digestOf(1, 'a'), first);
    assert.notEqual(await digestOf(2, 'a'), first);
    assert.notEqual(await digestOf(1, 'b'), first);
  });

  test('the trace keeps the newest lines in order', () => {
    const scheduler = new Scheduler();
    for (let line = 0; line < 450; line += 1) scheduler.record(`line ${line}`);
    const lines = scheduler.trace.lines();
    assert.equal(lines.length, 200);
    assert.match(lines[0] ?? '', /line 250$/);
    assert.match(lines.at(-1) ?? '', /line 449$/);
  });
});

describe('the clock of a simulated process', () => {
  test('a dead process gets no timer, neither old nor new ones', async () => {
    const scheduler = new Scheduler();
    const clock = new SimulatedClock({ scheduler });
    clock.after(5, () => assert.fail('It is dead'));
    scheduler.after(1, () => {
      clock.kill();
      clock.after(1, () => assert.fail('It is dead'));
      clock.soon(() => assert.fail('It is dead'));
    });
    await scheduler.run({ untilMs: 10 });
  });

  test('a paused process hears everything late, in order, and before anything newer', async () => {
    const scheduler = new Scheduler();
    const clock = new SimulatedClock({ scheduler });
    const heard: string[] = [];
    for (const at of [1, 2, 3]) clock.after(at, () => heard.push(`timer ${at}`));
    clock.pause();
    scheduler.after(10, () => {
      assert.equal(heard.length, 0);
      clock.resume();
      clock.enter(() => heard.push('message'));
    });
    await scheduler.run({ untilMs: 20 });
    assert.deepEqual(heard, ['timer 1', 'timer 2', 'timer 3', 'message']);
  });

  test('a timer that was cancelled while it was held back does not run', async () => {
    const scheduler = new Scheduler();
    const clock = new SimulatedClock({ scheduler });
    const timer = clock.after(1, () => assert.fail('It was cancelled'));
    clock.pause();
    scheduler.after(5, () => {
      timer.cancel();
      clock.resume();
    });
    await scheduler.run({ untilMs: 10 });
  });

  test('drift makes the time of a process faster, and its timers with it', async () => {
    const scheduler = new Scheduler();
    const clock = new SimulatedClock({ scheduler, driftPpm: 100_000 });
    let ranAt = 0;
    clock.after(110, () => {
      ranAt = scheduler.now();
    });
    await scheduler.run({ untilMs: 1_000 });
    assert.ok(Math.abs(ranAt - 100) < 0.001, `${ranAt}`);
    assert.ok(Math.abs(clock.now() - 1_100) < 0.001, `${clock.now()}`);
  });

  test('each process counts its time from its own start', async () => {
    const scheduler = new Scheduler();
    await scheduler.run({ untilMs: 50 });
    assert.equal(new SimulatedClock({ scheduler }).now(), 0);
  });
});
