// The wire as one simulated process sees it: what arrives reaches the process through its clock. A
// paused process still has its connections, kept by the kernel, and takes everything in when it goes on.

import type { Acceptor, LinkEvents, Wire } from '../../src/node/transport/wire-port.ts';
import type { SimulatedClock } from './simulated-clock.ts';

export function processWire(wire: Wire, clock: SimulatedClock): Wire {
  return {
    listen: (address, acceptor) => wire.listen(address, processAcceptor(acceptor, clock)),
    openExchange: (target, events) =>
      wire.openExchange(
        target,
        processEvents(() => events, clock),
      ),
    openSnapshot: (target, events) =>
      wire.openSnapshot(
        target,
        processEvents(() => events, clock),
      ),
    close: () => wire.close(),
  };
}

function processAcceptor(acceptor: Acceptor, clock: SimulatedClock): Acceptor {
  return {
    onExchange: (link) => accepted(() => acceptor.onExchange(link), clock),
    onSnapshot: (link) => accepted(() => acceptor.onSnapshot(link), clock),
  };
}

/** The process learns of the stream when it runs; what the stream brings comes after that. */
function accepted<Received>(
  accept: () => LinkEvents<Received>,
  clock: SimulatedClock,
): LinkEvents<Received> {
  let events: LinkEvents<Received> | undefined;
  clock.enter(() => {
    events = accept();
  });
  return processEvents(() => events, clock);
}

function processEvents<Received>(
  events: () => LinkEvents<Received> | undefined,
  clock: SimulatedClock,
): LinkEvents<Received> {
  return {
    onFrame: (frame) => clock.enter(() => events()?.onFrame(frame)),
    onDrain: () => clock.enter(() => events()?.onDrain()),
    onEnd: () => clock.enter(() => events()?.onEnd()),
    onClose: (error) => clock.enter(() => events()?.onClose(error)),
  };
}
