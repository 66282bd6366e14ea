// Who a data directory belongs to: cluster, node and store. Written before anything else, checked
// before anything else; an address is no part of it (lesson 12).

import { ByteReader, ByteWriter } from '../kernel/byte-codec.ts';
import { MatrixError } from '../kernel/errors.ts';
import { NO_ID, type StoreId } from '../kernel/ids.ts';
import { drawBytes, type Random } from '../kernel/random.ts';
import { openRecord, sealRecord } from './storage/checksum.ts';
import type { Engine } from './storage/engine.ts';
import { identKey } from './storage/keys.ts';

export interface Ident {
  readonly clusterId: string;
  readonly name: string;
  /** 16 random bytes from the creation of the directory: tells two disks of one name apart. */
  readonly nonce: Uint8Array;
  /** NO_ID until Prophet has given one. */
  readonly storeId: StoreId;
  /** Grows with every start: of two processes with one identity the newer one wins. */
  readonly incarnation: number;
}

export interface IdentOwner {
  readonly clusterId: string;
  readonly name: string;
  readonly random: Random;
}

const FORMAT_VERSION = 1;
const NONCE_BYTES = 16;

/**
 * Reads or creates the identity and counts this start. Throws INVALID_ARGUMENT for a directory of
 * another cluster or node, before anything is written to it.
 */
export async function openIdent(engine: Engine, owner: IdentOwner): Promise<Ident> {
  const stored = readIdent(engine);
  if (stored !== undefined) checkOwner(stored, owner);
  const ident: Ident = {
    clusterId: owner.clusterId,
    name: owner.name,
    nonce: stored?.nonce ?? drawBytes(owner.random, NONCE_BYTES),
    storeId: stored?.storeId ?? NO_ID,
    incarnation: (stored?.incarnation ?? 0) + 1,
  };
  await engine.write([{ type: 'put', key: identKey(), value: encodeIdent(ident) }]);
  return ident;
}

export function encodeIdent(ident: Ident): Uint8Array {
  const writer = new ByteWriter(128).text(ident.clusterId).text(ident.name).bytes(ident.nonce);
  writer.u64(ident.storeId).u64(ident.incarnation);
  return sealRecord(FORMAT_VERSION, identKey(), writer.finish());
}

function readIdent(engine: Engine): Ident | undefined {
  const record = engine.get(identKey());
  if (record === undefined) return undefined;
  const { version, payload } = openRecord(identKey(), record);
  if (version !== FORMAT_VERSION) {
    throw new MatrixError(
      'UNSUPPORTED',
      `Data directory has format ${version}, this program reads format ${FORMAT_VERSION}: use a newer program`,
    );
  }
  const reader = new ByteReader(payload);
  return {
    clusterId: reader.text(),
    name: reader.text(),
    nonce: Uint8Array.from(reader.bytes()),
    storeId: reader.u64(),
    incarnation: reader.u64(),
  };
}

function checkOwner(stored: Ident, owner: IdentOwner): void {
  if (stored.clusterId !== owner.clusterId) {
    throw new MatrixError(
      'INVALID_ARGUMENT',
      `Data directory belongs to cluster ${stored.clusterId}, not to ${owner.clusterId}: ` +
        'use another directory, or start it with its own cluster id',
    );
  }
  if (stored.name !== owner.name) {
    throw new MatrixError(
      'INVALID_ARGUMENT',
      `Data directory belongs to node ${stored.name}, not to ${owner.name}: give each node its own`,
    );
  }
}
