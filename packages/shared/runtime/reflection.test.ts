import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, createFileRegistry, type DescMethodBiDiStreaming, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { createClient } from '@connectrpc/connect';
import { ServerReflection, type ServerReflectionRequest } from '@fleetmq/gen/grpc/reflection/v1/reflection';
import { ServerReflection as ServerReflectionAlpha } from '@fleetmq/gen/grpc/reflection/v1alpha/reflection';
import { createHealthState } from './health-service.ts';
import { createLaneTransport } from './lane/client.ts';
import { startRpcServer } from './rpc-server.ts';

type Ask = Exclude<ServerReflectionRequest['messageRequest'], { case: undefined }>;

async function ask(service: typeof ServerReflection | typeof ServerReflectionAlpha, questions: readonly Ask[]) {
  const health = createHealthState();
  await using server = await startRpcServer({
    listen: { host: '127.0.0.1', port: 0 },
    services: [],
    health,
    reflection: true,
  });
  await using transport = createLaneTransport({ baseUrl: server.address.url });
  const client = createClient(service as typeof ServerReflection, transport);
  async function* requests() {
    for (const messageRequest of questions) yield { messageRequest };
  }
  const answers = [];
  for await (const { messageResponse } of client.serverReflectionInfo(requests())) answers.push(messageResponse);
  return answers;
}

test('both versions list the mounted services and hand out their files whole', async () => {
  for (const service of [ServerReflection, ServerReflectionAlpha]) {
    const [list, bySymbol, byMethod, byName] = await ask(service, [
      { case: 'listServices', value: '' },
      { case: 'fileContainingSymbol', value: 'grpc.health.v1.Health' },
      { case: 'fileContainingSymbol', value: 'grpc.health.v1.Health.Check' },
      { case: 'fileByFilename', value: 'grpc/health/v1/health.proto' },
    ]);
    assert.ok(list?.case === 'listServicesResponse');
    assert.deepEqual(
      list.value.service.map(({ name }) => name),
      ['grpc.health.v1.Health'],
    );
    for (const answer of [bySymbol, byMethod, byName]) {
      assert.ok(answer?.case === 'fileDescriptorResponse');
      const file = answer.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
      const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: file.toReversed() }));
      const method = registry.getService('grpc.health.v1.Health')?.method[
        'check'
      ] as unknown as DescMethodBiDiStreaming;
      assert.equal(method.name, 'Check');
    }
  }
});

test('what is not known is an error in the answer and leaves the stream open', async () => {
  const answers = await ask(ServerReflection, [
    { case: 'fileContainingSymbol', value: 'no.Such' },
    { case: 'fileByFilename', value: '../secrets' },
    { case: 'allExtensionNumbersOfType', value: 'x' },
  ]);
  for (const answer of answers) assert.ok(answer.case === 'errorResponse' && answer.value.errorCode === 5);
  assert.equal(answers.length, 3);
});
