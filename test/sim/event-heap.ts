// A binary heap of events in the order in which they happen: earlier first, and at the same time the
// one that was asked for first. The order is total, so a run depends on nothing but its seed.

export interface ScheduledEvent {
  readonly timeMs: number;
  readonly sequence: number;
  /** Undefined once cancelled or run: what it held on to can be freed. */
  callback: (() => void) | undefined;
}

export class EventHeap {
  readonly #events: ScheduledEvent[] = [];

  get size(): number {
    return this.#events.length;
  }

  peek(): ScheduledEvent | undefined {
    return this.#events[0];
  }

  push(event: ScheduledEvent): void {
    let at = this.#events.length;
    this.#events.push(event);
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = this.#events[parentAt];
      if (parent === undefined || isBefore(parent, event)) break;
      this.#events[at] = parent;
      at = parentAt;
    }
    this.#events[at] = event;
  }

  pop(): ScheduledEvent | undefined {
    const first = this.#events[0];
    const last = this.#events.pop();
    if (last !== undefined && this.#events.length > 0) this.#sink(last);
    return first;
  }

  /** Puts `event` at the top and lets it find its place. */
  #sink(event: ScheduledEvent): void {
    let at = 0;
    for (;;) {
      const left = this.#events[2 * at + 1];
      const right = this.#events[2 * at + 2];
      const isRight = left !== undefined && right !== undefined && isBefore(right, left);
      const child = isRight ? right : left;
      if (child === undefined || isBefore(event, child)) break;
      this.#events[at] = child;
      at = 2 * at + (isRight ? 2 : 1);
    }
    this.#events[at] = event;
  }
}

function isBefore(a: ScheduledEvent, b: ScheduledEvent): boolean {
  return a.timeMs !== b.timeMs ? a.timeMs < b.timeMs : a.sequence < b.sequence;
}
