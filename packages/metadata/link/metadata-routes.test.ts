import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Code, ConnectError, createClient, createRouterTransport, type Interceptor } from '@connectrpc/connect';
import { MetadataService } from '@fleetmq/gen/client/metadata';
import { ErrorResponseSchema } from '@fleetmq/gen/common/errors';
import { emptyCluster } from '@fleetmq/metadata';
import { errorNumber, isDomainError, type TopicId } from '@fleetmq/shared';
import { errorOf } from './errors.ts';
import { FakeController } from './fake-controller.fuzz.ts';
import { MetadataWatch, metadataRoutes } from './index.ts';
import { ports } from './ports.fuzz.ts';

/** What a server does to every error: its code travels as a detail. */
const withDetail: Interceptor = (next) => async (request) => {
  try {
    return await next(request);
  } catch (error) {
    assert.ok(isDomainError(error));
    const value = { code: errorNumber(error.code) as never, message: error.message };
    throw new ConnectError(error.message, Code.Unknown, undefined, [{ desc: ErrorResponseSchema, value }]);
  }
};

function serve(controller: FakeController) {
  const controllers = [{ controllerId: 1, host: 'c', port: 1 }];
  const watch = new MetadataWatch({ controllers, transportOf: () => controller.transport, watcher: 'test', ...ports });
  watch.start();
  const routes = metadataRoutes({
    watch,
    ...ports,
    listener: 'client',
    securityMode: 'open',
    serverVersion: '0.1.0',
    waitMaxMs: 30,
  });
  const transport = createRouterTransport(({ service }) => void service(MetadataService, routes), {
    router: { interceptors: [withDetail] },
  });
  return { client: createClient(MetadataService, transport), [Symbol.asyncDispose]: () => watch.stop() };
}

describe('metadata service over the watch', () => {
  test('waits for the first metadata and for the version that is asked for', async () => {
    const controller = new FakeController();
    await using server = serve(controller);
    const first = server.client.getClusterMetadata({});
    controller.append(3, {
      kind: 'cluster-changed',
      cluster: { ...emptyCluster, clusterId: 'c1' },
    });
    const answer = await first;
    assert.equal(answer.clusterId, 'c1');
    assert.deepEqual(
      answer.controllers.map(({ controllerId, leader }) => [controllerId, leader]),
      [[1, true]],
    );
    const second = server.client.getTopicMetadata({ topics: ['a'], minMetadataVersion: 5n });
    const topic = {
      topicId: '1'.repeat(32) as TopicId,
      name: 'a',
      config: new Map(),
      internal: false,
      partitionCount: 0,
    };
    controller.append(5, { kind: 'topic-changed', topic });
    assert.equal((await second).topics[0]?.topic?.topicId, '1'.repeat(32));
  });

  test('gives up the wait at its bound, and refuses what cannot come', async () => {
    const controller = new FakeController();
    controller.append(3);
    await using server = serve(controller);
    const refused = async (call: Promise<unknown>, code: string): Promise<void> => {
      await assert.rejects(call, (error) => errorOf(error).code === code);
    };
    await refused(server.client.getTopicMetadata({ minMetadataVersion: 4n }), 'NOT_AVAILABLE');
    await refused(server.client.getTopicMetadata({ minMetadataVersion: 2n ** 60n }), 'INVALID_REQUEST');
    for (const call of ['getTopicMetadata', 'listTopics', 'getBrokerList', 'getPartitionLeader'] as const) {
      await refused(server.client[call]({ version: { major: 2 } }), 'UNSUPPORTED_VERSION');
    }
  });
});
