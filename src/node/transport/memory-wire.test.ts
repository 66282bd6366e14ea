import { SystemClock } from '../../kernel/clock.ts';
import { MemoryNetwork } from './memory-wire.ts';
import { transportSuite } from './transport-suite.ts';

const network = new MemoryNetwork({ clock: new SystemClock() });
let addresses = 0;

transportSuite('memory', () => ({
  address: () => {
    addresses += 1;
    return Promise.resolve(`node-${addresses}`);
  },
  wire: (address) => network.wire(address),
  kill: (address) => {
    network.kill(address);
    return Promise.resolve();
  },
}));
