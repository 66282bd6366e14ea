// What makes this node live and ready. Live never depends on others, or Kubernetes would kill every
// pod of a cluster that has lost its quorum (d.16).

import type { Health } from './routing/services.ts';

export class NodeHealth {
  readonly #roles: { readonly isProphet: boolean; readonly isData: boolean };
  #isOpen = false;
  #isRegistered = false;
  #isVoting = false;
  #isStopping = false;

  constructor(roles: { readonly isProphet: boolean; readonly isData: boolean }) {
    this.#roles = roles;
  }

  /** The replicas on disk are open and the node talks. */
  opened(): void {
    this.#isOpen = true;
  }

  /** Prophet knows the store. */
  registered(): void {
    this.#isRegistered = true;
  }

  /** The store was drained for good: there is nothing to wait for, and the node serves on without. */
  removed(): void {
    this.#isRegistered = true;
  }

  /** This member of Prophet takes part in its group. */
  votes(): void {
    this.#isVoting = true;
  }

  stopping(): void {
    this.#isStopping = true;
  }

  report(): Pick<Health, 'isLive' | 'checks'> {
    const checks = [
      check('storage', this.#isOpen, 'the replicas on disk are still being opened'),
      check('stopping', !this.#isStopping, 'the node is stopping'),
    ];
    if (this.#roles.isData) {
      checks.push(check('store', this.#isRegistered, 'Prophet has not registered the store yet'));
    }
    if (this.#roles.isProphet) {
      checks.push(
        check('prophet', this.#isVoting, 'waiting for a majority of the Prophet members'),
      );
    }
    return { isLive: true, checks };
  }
}

function check(name: string, holds: boolean, problem: string): Health['checks'][number] {
  return { name, problem: holds ? '' : problem };
}
