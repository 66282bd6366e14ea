import { createServer } from 'node:net';
import { GrpcWire } from './grpc-wire.ts';
import { transportSuite } from './transport-suite.ts';

/** Asks the system for a port that is free right now. */
function freeAddress(): Promise<string> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const place = server.address();
      server.close(() => {
        if (place === null || typeof place === 'string') reject(new Error('No port'));
        else resolve(`127.0.0.1:${place.port}`);
      });
    });
  });
}

transportSuite('gRPC', () => ({
  address: freeAddress,
  wire: () => new GrpcWire(),
  kill: (_address, wire) => wire.close(),
}));
