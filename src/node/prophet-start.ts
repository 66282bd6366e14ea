// When a member of Prophet may start to vote. With its data at hand: at once. With an empty data
// directory only if it cannot have voted before, because a disk that is gone has forgotten its votes
// (d.11): either Prophet's leader says that nobody of this name has taken part, or a majority of the
// members has no history and no other is known to have one, which is what the first start of a cluster
// looks like. Once there is a leader, every member claims its name for its disk (ADR 0008).

import { EMPTY } from '../kernel/bytes.ts';
import { type Clock, sleep } from '../kernel/clock.ts';
import { MatrixError } from '../kernel/errors.ts';
import { PROPHET_SHARD } from '../kernel/ids.ts';
import type { Observer } from '../kernel/observer.ts';
import { peerRequest } from '../wire/peer-messages.ts';
import { toUint64 } from '../wire/safe-number.ts';
import type { AddressBook } from './routing/address-book.ts';
import type { ProphetService } from './routing/prophet-service.ts';
import type { ShardMeta } from './shard/shard-meta.ts';
import type { Transport } from './transport/transport.ts';

export interface ProphetStartOptions {
  readonly clock: Clock;
  readonly observer: Observer;
  readonly addressBook: AddressBook;
  readonly transport: Pick<Transport, 'call'>;
  readonly prophet: Pick<ProphetService, 'probeMember'>;
  readonly name: string;
  readonly nonce: Uint8Array;
  readonly isStopped: () => boolean;
}

const ASK_TIMEOUT_MS = 1000;
const PAUSE_MS = 100;
const CLAIM_PAUSE_MS = 1000;
/** Rounds between two lines of log. */
const ROUNDS_PER_LINE = 50;

/** The group that Prophet runs on: its members are configured and equal on all nodes. */
export function prophetMeta(addressBook: AddressBook): ShardMeta {
  return {
    id: PROPHET_SHARD,
    start: EMPTY,
    end: EMPTY,
    epoch: { generation: 1, confVersion: 1 },
    replicas: addressBook.members.map(({ replicaId }) => ({
      replicaId,
      storeId: 0,
      role: 'voter',
    })),
  };
}

/** Resolves when this member may vote. Rejects PRECONDITION_FAILED when it never may. */
export async function waitUntilMayVote(options: ProphetStartOptions): Promise<void> {
  const { clock, observer, addressBook, name } = options;
  const majority = Math.floor(addressBook.members.length / 2) + 1;
  for (let round = 0; !options.isStopped(); round += 1) {
    const others = await askOthers(options);
    const fresh = 1 + others.filter((history) => history === 'none').length;
    // One that has seen an election is enough to know that this is no first start.
    if (fresh >= majority && !others.includes('some')) return;
    const hasTakenPart = await askLeader(options);
    if (hasTakenPart === false) return;
    if (hasTakenPart === true) throw forgotten(name);
    if (round % ROUNDS_PER_LINE === 0) {
      observer.log.info({ fresh, majority }, 'Waiting for other members of Prophet');
    }
    await sleep(clock, PAUSE_MS);
  }
}

/**
 * Tells Prophet's leader that this disk is the member's, so that another disk under its name is
 * noticed. Asks until there is an answer. Rejects PRECONDITION_FAILED when another disk was first.
 */
export async function claimMember(options: ProphetStartOptions): Promise<void> {
  while (!options.isStopped()) {
    const hasTakenPart = await askLeader(options);
    if (hasTakenPart === true) throw forgotten(options.name);
    if (hasTakenPart === false) return;
    await sleep(options.clock, CLAIM_PAUSE_MS);
  }
}

function forgotten(name: string): MatrixError {
  return new MatrixError(
    'PRECONDITION_FAILED',
    `Prophet member ${name} took part before with another data directory: ` +
      'restore that one, because a member that forgot its votes could break the cluster',
  );
}

/** What another member says of itself; unknown when it does not answer. */
type History = 'none' | 'some' | 'unknown';

function askOthers(options: ProphetStartOptions): Promise<readonly History[]> {
  const others = options.addressBook.members.filter(({ name }) => name !== options.name);
  return Promise.all(others.map(({ address }) => askHistory(options, address)));
}

async function askHistory(options: ProphetStartOptions, address: string): Promise<History> {
  const value = { shardId: toUint64(PROPHET_SHARD), replicaId: toUint64(0) };
  const deadline = options.clock.now() + ASK_TIMEOUT_MS;
  try {
    const request = peerRequest({ case: 'probeReplica', value });
    const { response } = await options.transport.call(address, request, { toStoreId: 0, deadline });
    if (response.case !== 'probeReplica') return 'unknown';
    return response.value.hasHistory ? 'some' : 'none';
  } catch {
    return 'unknown';
  }
}

/** Undefined when no leader answers. */
async function askLeader(options: ProphetStartOptions): Promise<boolean | undefined> {
  const { clock, prophet, name, nonce } = options;
  try {
    const answer = await prophet.probeMember({ name, nonce }, clock.now() + ASK_TIMEOUT_MS);
    return answer.hasTakenPart;
  } catch {
    return undefined;
  }
}
