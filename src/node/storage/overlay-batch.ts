// The writes of one turn, laid over what is already durable: a command sees what the commands before
// it in the same turn have written, and all of them go to disk together (lesson 1). The state
// machines know it as `ApplyBatch`.

import { toMapKey } from '../../kernel/bytes.ts';
import type { WriteOperation } from './engine.ts';

export interface OverlayReader {
  get(key: Uint8Array): Uint8Array | undefined;
}

/** Keeps keys and values without copying: nobody changes them until the batch is written. */
export class OverlayBatch {
  readonly #reader: OverlayReader;
  /** One operation for each key: a later one takes the place of an earlier one. */
  readonly #operations = new Map<string, WriteOperation>();
  #bytes = 0;

  constructor(reader: OverlayReader) {
    this.#reader = reader;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    // Most turns read before they write: then there is nothing to look for here.
    if (this.#operations.size === 0) return this.#reader.get(key);
    const operation = this.#operations.get(toMapKey(key));
    if (operation === undefined) return this.#reader.get(key);
    return operation.type === 'put' ? operation.value : undefined;
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.#set({ type: 'put', key, value });
  }

  delete(key: Uint8Array): void {
    this.#set({ type: 'delete', key });
  }

  /** What to write, one operation for each key, in the order in which keys were first touched. */
  operations(): WriteOperation[] {
    return [...this.#operations.values()];
  }

  /** Keys and values of all operations together: the owner ends the turn when this grows large. */
  get bytes(): number {
    return this.#bytes;
  }

  get isEmpty(): boolean {
    return this.#operations.size === 0;
  }

  #set(operation: WriteOperation): void {
    const mapKey = toMapKey(operation.key);
    const replaced = this.#operations.get(mapKey);
    if (replaced !== undefined) this.#bytes -= sizeOf(replaced);
    this.#bytes += sizeOf(operation);
    this.#operations.set(mapKey, operation);
  }
}

function sizeOf(operation: WriteOperation): number {
  return operation.key.length + (operation.type === 'put' ? operation.value.length : 0);
}
