// How the node program ends, as a number for whoever supervises it. Beside the program's last sentence,
// which is for people: no supervisor has to read texts.

import { MatrixError } from './errors.ts';

export const NODE_EXIT_CODES = {
  stopped: 0,
  failed: 1,
  usage: 2,
  /** The store was drained and removed for good: starting it again cannot help, only an empty disk can. */
  storeRemoved: 3,
} as const;

/** For whatever ended a node that ran. */
export function nodeExitCodeOf(error: unknown): number {
  const isRemoved = error instanceof MatrixError && error.code === 'STORE_REMOVED';
  return isRemoved ? NODE_EXIT_CODES.storeRemoved : NODE_EXIT_CODES.failed;
}
