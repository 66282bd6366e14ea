import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { DescService, Message } from '@bufbuild/protobuf';
import { create, createFileRegistry } from '@bufbuild/protobuf';
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
} from '@bufbuild/protobuf/wkt';
import type { handleUnaryCall, ServiceError } from '@grpc/grpc-js';
import { credentials, Server, ServerCredentials, status } from '@grpc/grpc-js';
import { toClientConstructor, toServiceDefinition } from './grpc.ts';

/** A service of its own, so that this test does not change when the product's services do. */
function echoService(): DescService {
  const field = (name: string, number: number, type: FieldDescriptorProto_Type) => ({
    name,
    number,
    type,
    label: FieldDescriptorProto_Label.OPTIONAL,
  });
  const file = create(FileDescriptorProtoSchema, {
    name: 'echo.proto',
    package: 'test',
    syntax: 'proto3',
    messageType: [
      {
        name: 'Word',
        field: [
          field('text', 1, FieldDescriptorProto_Type.STRING),
          field('bytes', 2, FieldDescriptorProto_Type.BYTES),
          field('number', 3, FieldDescriptorProto_Type.UINT64),
        ],
      },
    ],
    service: [
      {
        name: 'Echo',
        method: [
          { name: 'SayOnce', inputType: '.test.Word', outputType: '.test.Word' },
          {
            name: 'SayMany',
            inputType: '.test.Word',
            outputType: '.test.Word',
            clientStreaming: true,
            serverStreaming: true,
          },
        ],
      },
    ],
  });
  const service = createFileRegistry(file, () => undefined).getService('test.Echo');
  assert.ok(service);
  return service;
}

interface Word extends Message {
  readonly text: string;
  readonly bytes: Uint8Array;
  readonly number: bigint;
}

describe('a service description joined to grpc-js', () => {
  test('gives paths, names and kinds of streams', () => {
    const definition = toServiceDefinition(echoService());
    assert.deepEqual(Object.keys(definition), ['sayOnce', 'sayMany']);
    assert.equal(definition['sayOnce']?.path, '/test.Echo/SayOnce');
    assert.equal(definition['sayOnce']?.requestStream, false);
    assert.equal(definition['sayMany']?.requestStream, true);
    assert.equal(definition['sayMany']?.responseStream, true);
  });

  test('turns fields into bytes and bytes into a whole message with plain byte arrays', () => {
    const method = toServiceDefinition(echoService())['sayOnce'];
    assert.ok(method);
    const sent = method.requestSerialize({ text: 'a', bytes: new Uint8Array([1, 2]) });
    const received = method.requestDeserialize(sent) as Word;
    assert.equal(received.text, 'a');
    assert.equal(received.number, 0n);
    assert.deepEqual(received.bytes, new Uint8Array([1, 2])); // a Buffer would not be equal
    assert.deepEqual(method.responseSerialize(received), sent);
  });

  test('carries a real call and a refusal', async () => {
    const service = echoService();
    const sayOnce: handleUnaryCall<Word, Partial<Word>> = (call, answer) => {
      if (call.request.text === '') answer({ code: status.INVALID_ARGUMENT });
      else answer(null, { text: call.request.text.repeat(2), number: 2n ** 60n });
    };
    const server = new Server();
    server.addService(toServiceDefinition(service), { sayOnce, sayMany: () => undefined });
    const { promise: bound, resolve, reject } = Promise.withResolvers<number>();
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    );
    const Client = toClientConstructor(service);
    const client = new Client(`127.0.0.1:${await bound}`, credentials.createInsecure());
    const say = (text: string): Promise<Word> =>
      new Promise((done, fail) => {
        client['sayOnce']?.({ text }, (error: ServiceError | null, word: Word) =>
          error === null ? done(word) : fail(error),
        );
      });
    try {
      const word = await say('ab');
      assert.equal(word.text, 'abab');
      assert.equal(word.number, 2n ** 60n);
      await assert.rejects(say(''), { code: status.INVALID_ARGUMENT });
    } finally {
      client.close();
      server.forceShutdown();
    }
  });
});
