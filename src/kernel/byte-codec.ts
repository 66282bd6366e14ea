// The codec of everything that is stored: commands in the log and records on disk. Big-endian
// fixed-width numbers and length-prefixed bytes; every record starts with a version byte of its
// own, so that a newer program can read what an older one wrote. (The wire speaks protobuf.)

import { assert } from './assert.ts';
import { view } from './bytes.ts';

/** Bytes that cannot be what they claim to be. The gate that decodes turns it into an answer. */
export class DecodeError extends Error {
  override readonly name = 'DecodeError';
}

const FIRST_CAPACITY = 64;

/** Builds one record. Grows as needed; `finish` hands out the bytes and ends the writer's life. */
export class ByteWriter {
  #buffer: Buffer;
  #length = 0;

  constructor(capacity: number = FIRST_CAPACITY) {
    this.#buffer = Buffer.allocUnsafe(capacity);
  }

  u8(value: number): this {
    this.#reserve(1);
    this.#length = this.#buffer.writeUInt8(value, this.#length);
    return this;
  }

  u32(value: number): this {
    this.#reserve(4);
    this.#length = this.#buffer.writeUInt32BE(value, this.#length);
    return this;
  }

  /** A safe integer as eight bytes. */
  u64(value: number): this {
    assert(Number.isSafeInteger(value) && value >= 0, `Cannot encode ${value} as a safe integer`);
    this.#reserve(8);
    this.#buffer.writeUInt32BE(Math.floor(value / 0x1_0000_0000), this.#length);
    this.#length = this.#buffer.writeUInt32BE(value % 0x1_0000_0000, this.#length + 4);
    return this;
  }

  bool(value: boolean): this {
    return this.u8(value ? 1 : 0);
  }

  /** Length in four bytes, then the bytes, copied. */
  bytes(value: Uint8Array): this {
    return this.u32(value.length).raw(value);
  }

  text(value: string): this {
    return this.bytes(Buffer.from(value, 'utf8'));
  }

  /** The bytes alone, copied. */
  raw(value: Uint8Array): this {
    this.#reserve(value.length);
    this.#buffer.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  finish(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  #reserve(count: number): void {
    const wanted = this.#length + count;
    if (wanted <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(wanted, this.#buffer.length * 2));
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }
}

/** Reads one record in the order in which it was written. Throws DecodeError, never reads past the end. */
export class ByteReader {
  readonly #buffer: Buffer;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#buffer = view(bytes);
  }

  u8(): number {
    return this.#buffer.readUInt8(this.#take(1));
  }

  u32(): number {
    return this.#buffer.readUInt32BE(this.#take(4));
  }

  u64(): number {
    const at = this.#take(8);
    const value = this.#buffer.readUInt32BE(at) * 0x1_0000_0000 + this.#buffer.readUInt32BE(at + 4);
    if (!Number.isSafeInteger(value)) throw new DecodeError(`Number ${value} is too large`);
    return value;
  }

  bool(): boolean {
    return this.u8() !== 0;
  }

  /** A view on the record's own memory: copy it to keep it longer than the record. */
  bytes(): Uint8Array {
    return this.raw(this.u32());
  }

  text(): string {
    return view(this.bytes()).toString('utf8');
  }

  raw(length: number): Uint8Array {
    const at = this.#take(length);
    return this.#buffer.subarray(at, at + length);
  }

  /** Everything that is left. */
  rest(): Uint8Array {
    return this.raw(this.remaining());
  }

  remaining(): number {
    return this.#buffer.length - this.#offset;
  }

  /** Refuses bytes behind the record: they mean that writer and reader disagree. */
  end(): void {
    if (this.remaining() > 0)
      throw new DecodeError(`Record has ${this.remaining()} bytes too many`);
  }

  #take(count: number): number {
    if (this.remaining() < count) {
      throw new DecodeError(`Record ends early: ${count} bytes wanted, ${this.remaining()} left`);
    }
    const at = this.#offset;
    this.#offset += count;
    return at;
  }
}
