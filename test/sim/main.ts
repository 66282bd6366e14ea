// Runs seeds of the simulated cluster from the command line: one with all that is known about it, or
// many with one line each. `npm run sim -- --seed 42`, `npm run sim -- --seeds 1000 --from 1`.

import { parseArgs } from 'node:util';
import { runCluster } from './cluster-run.ts';
import { SimulationFailure } from './simulation.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string', default: '100' },
    from: { type: 'string', default: '1' },
  },
});

/** What no promise chain took up: it belongs to the seed that is running. */
let strayError: unknown;
process.on('unhandledRejection', (error) => {
  strayError ??= error;
});

const oneSeed = values.seed === undefined ? undefined : readNumber('seed', values.seed);
if (oneSeed !== undefined) await replay(oneSeed);
else await search(readNumber('from', values.from), readNumber('seeds', values.seeds));

/** One seed: its plan, and the verdict or the whole story of its failure. */
async function replay(seed: number): Promise<void> {
  try {
    const { plan, ...figures } = await runCluster(seed);
    console.log(`Plan: ${plan}`);
    console.log(`Seed ${seed} passed: ${JSON.stringify(figures)}`);
  } catch (error) {
    takeFailure(error);
  }
  reportStrayError(seed);
}

async function search(from: number, count: number): Promise<void> {
  let failures = 0;
  let operations = 0;
  let events = 0;
  let simulatedMs = 0;
  for (let seed = from; seed < from + count; seed += 1) {
    try {
      const report = await runCluster(seed);
      operations += report.operations;
      events += report.events;
      simulatedMs += report.simulatedMs;
    } catch (error) {
      failures += 1;
      takeFailure(error);
    }
    if (reportStrayError(seed)) failures += 1;
  }
  const hours = (simulatedMs / 3_600_000).toFixed(2);
  console.log(
    `${count} seeds from ${from}: ${failures} failed, ${operations} operations, ` +
      `${events} events, ${hours} simulated hours`,
  );
}

function takeFailure(error: unknown): void {
  process.exitCode = 1;
  if (error instanceof SimulationFailure) console.log(`${error.kind}: ${error.message}`);
  else console.log(error);
  if (error instanceof Error && error.cause !== undefined) console.log(error.cause);
}

function reportStrayError(seed: number): boolean {
  if (strayError === undefined) return false;
  console.log(`Seed ${seed} left a rejection that nobody took:`, strayError);
  strayError = undefined;
  process.exitCode = 1;
  return true;
}

function readNumber(name: string, text: string): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number >= 0) return number;
  console.error(`--${name} ${text} is not a whole number`);
  process.exit(2);
}
