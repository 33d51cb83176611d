/** The two entrances of a fleet as typed clients of a hostile caller that speaks gRPC as it should. */
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { type Client, createClient } from '@connectrpc/connect';
import { ConsumerService, FetchRequestSchema, FetchResponseSchema } from '@fleetmq/gen/client/consumer';
import { ProducerService } from '@fleetmq/gen/client/producer';
import { ErrorCode } from '@fleetmq/gen/common/errors';
import { isDomainError } from '@fleetmq/shared';
import { createLaneTransport, type LaneTransport } from '@fleetmq/shared/runtime';
import type { HostileOrder } from './tally.ts';

export interface Door {
  readonly name: string;
  readonly producer: Client<typeof ProducerService>;
  /** Code of the first partition, or of the call. A long answer is an OK, and is not decoded: that would cost more than asking. */
  readonly fetchCode: (request: FetchInit) => Promise<string>;
}

type FetchInit = MessageInitShape<typeof FetchRequestSchema>;
const longAnswerBytes = 64 * 1024;

/** Runs `use` at every door at once; the connections are closed behind it. */
export async function atEachDoor({ doors }: HostileOrder, use: (door: Door) => Promise<void>): Promise<void> {
  await Promise.all(
    Object.entries(doors).map(async ([name, address]) => {
      const transport = createLaneTransport({ baseUrl: `http://${address}` });
      try {
        const producer = createClient(ProducerService, transport);
        await use({ name, producer, fetchCode: (request) => codeOf(fetchRaw(transport, request)) });
      } finally {
        await transport.close();
      }
    }),
  );
}

async function fetchRaw(transport: LaneTransport, request: FetchInit): Promise<Coded> {
  const message = toBinary(FetchRequestSchema, create(FetchRequestSchema, request));
  const answer = await transport.rawUnary(ConsumerService.method.fetch, message);
  if (answer.length > longAnswerBytes) return { partitions: [{ errorCode: ErrorCode.OK }] };
  return fromBinary(FetchResponseSchema, answer);
}

interface Coded {
  readonly partitions: readonly { readonly errorCode: ErrorCode }[];
}

/** The code of the first partition, or of the call when it failed as a whole. */
export async function codeOf(call: Promise<Coded>): Promise<string> {
  try {
    const answer = await call;
    return nameOf(answer.partitions[0]?.errorCode ?? ErrorCode.UNKNOWN_ERROR);
  } catch (error) {
    if (!isDomainError(error)) throw error;
    return error.code;
  }
}

function nameOf(code: ErrorCode): string {
  return Object.entries(ErrorCode).find(([, number]) => number === code)?.[0] ?? String(code);
}
