// Prophet's Raft group as Prophet sees it: propose, wait for what was committed before, and know
// whether this node leads. The replica behind it is an ordinary one of this store.

import { MatrixError } from '../../kernel/errors.ts';
import { NO_ID, PROPHET_SHARD } from '../../kernel/ids.ts';
import type { Replica } from '../shard/replica.ts';
import type { GroupStatus, ReplicatedGroup } from '../shard/state-machine.ts';
import type { Store } from './store.ts';

export class ProphetGroup implements ReplicatedGroup {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  propose(command: Uint8Array, deadline: number): Promise<Uint8Array> {
    return this.#with((replica, resolve, reject) => {
      replica.propose(command, { deadline, resolve, reject });
    });
  }

  barrier(deadline: number): Promise<void> {
    return this.#with((replica, resolve, reject) => {
      replica.read({ deadline, resolve, reject });
    });
  }

  status(): GroupStatus {
    const replica = this.#store.replica(PROPHET_SHARD);
    if (replica === undefined) return { isReadyLeader: false, term: 0, leader: NO_ID };
    const isReadyLeader = replica.isLeader && replica.isReadReady;
    return { isReadyLeader, term: replica.term, leader: replica.leader };
  }

  #with<Value>(
    ask: (
      replica: Replica,
      resolve: (value: Value) => void,
      reject: (error: MatrixError) => void,
    ) => void,
  ): Promise<Value> {
    const replica = this.#store.replica(PROPHET_SHARD);
    if (replica === undefined) {
      return Promise.reject(
        new MatrixError('UNAVAILABLE', 'Prophet does not run on this node yet'),
      );
    }
    return new Promise((resolve, reject) => {
      ask(replica, resolve, reject);
      this.#store.wake(replica);
    });
  }
}
