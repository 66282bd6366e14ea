// The sessions under which this node writes for its users (lesson 4, ADR 0005). A client id is six
// bytes of wall-clock milliseconds and ten of chance: later sessions have greater ids, which is how
// shards know that they cannot have forgotten a new one.
//
// One session serves the whole process. It is replaced in two cases: a shard forgot it, or one slow
// write keeps so many later answers from being forgotten that shards would refuse to remember more.
//
// Invariants: a sequence is used for one write only; nothing at or above the lowest outstanding
// sequence of a session is called acknowledged; session ids of one process only grow.

import { ByteReader, ByteWriter } from '../../kernel/byte-codec.ts';
import { compareBytes } from '../../kernel/bytes.ts';
import type { Clock } from '../../kernel/clock.ts';
import { MatrixError } from '../../kernel/errors.ts';
import type { Random } from '../../kernel/random.ts';
import { CLIENT_ID_BYTES, type SessionStamp } from '../shard/commands.ts';

const TIME_BYTES = 6;
const CHANCE_BYTES = CLIENT_ID_BYTES - TIME_BYTES;
/** What six bytes hold: until the year 10889. */
const TIME_MS_MAX = 2 ** (8 * TIME_BYTES) - 1;

/** One write from its first attempt to its end. */
export interface OpenWrite {
  /** The same for all attempts. */
  readonly stamp: SessionStamp;
  /** The answer is known, or given up: shards need not remember it. Harmless when repeated. */
  end(): void;
}

export interface GatewaySessionOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Writes without answer; beyond, OVERLOADED. */
  readonly outstandingMax: number;
  /** A session goes no further than this beyond its oldest open write. */
  readonly spanMax: number;
}

interface Session {
  readonly clientId: Uint8Array;
  nextSequence: number;
  /** In ascending order, as a Set keeps the order of insertion. */
  readonly outstanding: Set<number>;
}

export class GatewaySession {
  readonly #options: GatewaySessionOptions;
  #current: Session;
  #outstanding = 0;

  constructor(options: GatewaySessionOptions) {
    this.#options = options;
    this.#current = this.#open(0);
  }

  get outstanding(): number {
    return this.#outstanding;
  }

  /** Throws OVERLOADED when too many writes are open. */
  begin(): OpenWrite {
    if (this.#outstanding >= this.#options.outstandingMax) {
      throw new MatrixError('OVERLOADED', `${this.#outstanding} writes wait for their answer`);
    }
    if (spanOf(this.#current) >= this.#options.spanMax) this.#replace(0);
    const session = this.#current;
    const sequence = session.nextSequence;
    session.nextSequence += 1;
    session.outstanding.add(sequence);
    this.#outstanding += 1;
    return {
      stamp: {
        clientId: session.clientId,
        sequence,
        acknowledgedBelow: lowestOutstanding(session),
      },
      end: () => {
        if (session.outstanding.delete(sequence)) this.#outstanding -= 1;
      },
    };
  }

  /** A shard has forgotten this session: from now on one later than `floor` is used. */
  expire(clientId: Uint8Array, floor: Uint8Array): void {
    const isCurrent = compareBytes(clientId, this.#current.clientId) === 0;
    const isTooOld = compareBytes(this.#current.clientId, floor) <= 0;
    if (isCurrent || isTooOld) this.#replace(timeOf(floor));
  }

  #replace(floorMs: number): void {
    this.#current = this.#open(Math.max(floorMs, timeOf(this.#current.clientId)) + 1);
  }

  #open(earliestMs: number): Session {
    const { clock, random } = this.#options;
    const createdMs = Math.min(Math.max(Math.floor(clock.wallNow()), earliestMs), TIME_MS_MAX);
    const chance = Uint8Array.from({ length: CHANCE_BYTES }, () => random.below(256));
    return {
      clientId: clientIdOf(createdMs, chance),
      nextSequence: 1,
      outstanding: new Set(),
    };
  }
}

function spanOf(session: Session): number {
  return session.nextSequence - lowestOutstanding(session);
}

function lowestOutstanding(session: Session): number {
  for (const sequence of session.outstanding) return sequence;
  return session.nextSequence;
}

function clientIdOf(createdMs: number, chance: Uint8Array): Uint8Array {
  const time = new ByteWriter(8)
    .u64(createdMs)
    .finish()
    .subarray(8 - TIME_BYTES);
  return new ByteWriter(CLIENT_ID_BYTES).raw(time).raw(chance).finish();
}

/** 0 for what is no client id: a peer sent it, and it means nothing. */
function timeOf(clientId: Uint8Array): number {
  if (clientId.length !== CLIENT_ID_BYTES) return 0;
  const padded = new Uint8Array(8);
  padded.set(clientId.subarray(0, TIME_BYTES), 8 - TIME_BYTES);
  return new ByteReader(padded).u64();
}
