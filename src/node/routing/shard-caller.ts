// One attempt at one store: the replica on this node directly, any other through the transport. It
// goes no further than the deadline, and no longer than somebody waits for it.

import { MatrixError } from '../../kernel/errors.ts';
import type { StoreId } from '../../kernel/ids.ts';
import { fromErrorMessage } from '../../wire/error-codec.ts';
import { peerRequest } from '../../wire/peer-messages.ts';
import type { LocalStore } from '../store/local-store.ts';
import type { Transport } from '../transport/transport.ts';
import type { AddressBook } from './address-book.ts';
import type { ShardAddress, ShardCall } from './shard-call.ts';

export interface ShardCallerOptions {
  readonly localStore: () => LocalStore | undefined;
  readonly transport: Pick<Transport, 'call'>;
  readonly addressBook: AddressBook;
}

export interface Attempt {
  readonly storeId: StoreId;
  readonly address: ShardAddress;
  readonly deadline: number;
  readonly signal?: AbortSignal;
}

export class ShardCaller {
  readonly #options: ShardCallerOptions;

  constructor(options: ShardCallerOptions) {
    this.#options = options;
  }

  call<Answer>(call: ShardCall<Answer>, attempt: Attempt): Promise<Answer> {
    const store = this.#options.localStore();
    const answer =
      store?.storeId === attempt.storeId
        ? call.runLocally(store, attempt.address, attempt.deadline)
        : this.#callPeer(call, attempt);
    const { signal } = attempt;
    if (signal === undefined) return answer;
    return whileWanted(answer, { signal, isWrite: call.isWrite });
  }

  async #callPeer<Answer>(call: ShardCall<Answer>, attempt: Attempt): Promise<Answer> {
    const { transport, addressBook } = this.#options;
    const { storeId, deadline } = attempt;
    const address = addressBook.requireAddress(storeId);
    const request = peerRequest(call.question(attempt.address));
    const { response } = await transport.call(address, request, { toStoreId: storeId, deadline });
    if (response.case === 'error') throw fromErrorMessage(response.value);
    const answer = response.case === 'shard' ? call.read(response.value.result) : undefined;
    if (answer !== undefined) return answer;
    throw new MatrixError('INTERNAL', `Store ${storeId} answered ${response.case}`);
  }
}

/** Rejects as soon as the caller has gone; what was sent goes on by itself. */
function whileWanted<Answer>(
  answer: Promise<Answer>,
  { signal, isWrite }: { readonly signal: AbortSignal; readonly isWrite: boolean },
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const give = (): void => {
      const code = isWrite ? 'OUTCOME_UNKNOWN' : 'UNAVAILABLE';
      reject(new MatrixError(code, 'The caller has gone', { retry: 'no' }));
    };
    const end = (): void => signal.removeEventListener('abort', give);
    if (signal.aborted) give();
    signal.addEventListener('abort', give);
    answer.then(resolve, reject).then(end, end);
  });
}
