/**
 * For the conformance tests: clients of the scripted service that tell what they got in one form. The lane's client and
 * Connect's gRPC client run under the generated client, @grpc/grpc-js on bytes.
 */
import { type CallOptions, type Client, ConnectError, createClient, type Transport } from '@connectrpc/connect';
import { createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node';
import { StreamingService } from '@fleetmq/gen/streaming/stream';
import { type ErrorName, isDomainError, statusOf } from '@fleetmq/shared';
import * as grpc from '@grpc/grpc-js';
import { fromConnectError } from '../rpc-errors.ts';
import { createLaneTransport } from './client.ts';
import { decodeAnswer, encodeRequest, type Kind, methodOf } from './conformance-service-fixture.ts';
import { methodPath } from './raw.ts';
import { errorOfTrailers } from './status.ts';

export interface CallRequest {
  readonly kind: Kind;
  /** Texts of the request messages. */
  readonly requests: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  readonly onMessage?: (text: string) => void;
}

export interface CallResult {
  readonly messages: readonly string[];
  /** Number of the gRPC status. For the lane's client, whose errors carry no number: the one that its code travels as. */
  readonly status: number;
  readonly text: string;
  /** Code of the error, from the details of the status where there are any. */
  readonly code: ErrorName | 'OK';
  /** Only the lane's client says so: the call may have acted although it failed. */
  readonly outcomeUnknown: boolean;
}

export interface ConformanceClient extends AsyncDisposable {
  readonly name: 'lane' | 'connect' | 'grpc-js';
  call(request: CallRequest): Promise<CallResult>;
}

const texts = new TextDecoder();

export function laneClient(baseUrl: string, readMaxBytes?: number): ConformanceClient {
  const transport = createLaneTransport({
    baseUrl,
    ...(readMaxBytes === undefined ? {} : { limits: { readMaxBytes } }),
  });
  return generatedClient('lane', transport, () => transport.close());
}

export function connectClient(baseUrl: string, readMaxBytes?: number): ConformanceClient {
  const sessionManager = new Http2SessionManager(baseUrl);
  const limits = readMaxBytes === undefined ? {} : { readMaxBytes };
  const transport = createGrpcTransport({ baseUrl, sessionManager, ...limits });
  return generatedClient('connect', transport, () => sessionManager.abort());
}

function generatedClient(
  name: 'lane' | 'connect',
  transport: Transport,
  close: () => void | Promise<void>,
): ConformanceClient {
  const client = createClient(StreamingService, transport);
  return {
    name,
    async call(request) {
      const messages: string[] = [];
      try {
        for await (const text of answersOf(client, request)) {
          messages.push(text);
          request.onMessage?.(text);
        }
        return { messages, status: 0, text: '', code: 'OK', outcomeUnknown: false };
      } catch (error) {
        return { messages, ...failureOf(error) };
      }
    },
    [Symbol.asyncDispose]: async () => close(),
  };
}

async function* answersOf(client: Client<typeof StreamingService>, request: CallRequest): AsyncGenerator<string> {
  const { kind, requests, headers, timeoutMs, signal } = request;
  const options: CallOptions = {
    ...(headers === undefined ? {} : { headers }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(signal === undefined ? {} : { signal }),
  };
  const clientId = requests[0] ?? '';
  async function* stream(): AsyncGenerator<{ clientId: string }> {
    for (const text of requests) yield { clientId: text };
  }
  if (kind === 'unary') yield (await client.updateQuery({ clientId }, options)).errorMessage;
  else if (kind === 'clientStream') yield (await client.bulkLoad(stream(), options)).errorMessage;
  else if (kind === 'serverStream') {
    for await (const { cursor } of client.subscribe({ clientId }, options)) yield texts.decode(cursor);
  } else {
    for await (const { queryId } of client.interactiveQuery(stream(), options)) yield queryId;
  }
}

function failureOf(error: unknown): Omit<CallResult, 'messages'> {
  if (isDomainError(error)) {
    const { code, message, outcomeUnknown } = error;
    return { status: statusOf(code), text: message, code, outcomeUnknown };
  }
  if (!(error instanceof ConnectError)) throw error;
  return { status: error.code, text: error.rawMessage, code: fromConnectError(error).code, outcomeUnknown: false };
}

export function grpcJsClient(url: string): ConformanceClient {
  const client = new grpc.Client(new URL(url).host, grpc.credentials.createInsecure());
  return {
    name: 'grpc-js',
    call: (request) => callGrpcJs(client, request),
    [Symbol.asyncDispose]: async () => client.close(),
  };
}

type GrpcCall = grpc.ClientUnaryCall | grpc.ClientReadableStream<Buffer>;

/** Messages stay bytes within the library, which takes an empty text for none. */
const asIs = (bytes: Buffer): Buffer => bytes;

function callGrpcJs(client: grpc.Client, request: CallRequest): Promise<CallResult> {
  const { kind, requests, headers = {}, timeoutMs, signal, onMessage } = request;
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  const options = timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
  const messagesOut = requests.map((text) => Buffer.from(encodeRequest(text)));
  const common = [methodPath(methodOf[kind]), asIs, asIs] as const;
  return new Promise((resolve) => {
    const messages: string[] = [];
    const take = (bytes: Buffer): void => {
      const text = decodeAnswer(kind, bytes);
      messages.push(text);
      onMessage?.(text);
    };
    const done = (_error: grpc.ServiceError | null, bytes?: Buffer): void => {
      if (bytes !== undefined) take(bytes);
    };
    const [first = Buffer.alloc(0)] = messagesOut;
    let call: GrpcCall;
    if (kind === 'unary') call = client.makeUnaryRequest(...common, first, metadata, options, done);
    else if (kind === 'serverStream') call = client.makeServerStreamRequest(...common, first, metadata, options);
    else {
      const sending =
        kind === 'clientStream'
          ? client.makeClientStreamRequest(...common, metadata, options, done)
          : client.makeBidiStreamRequest(...common, metadata, options);
      for (const bytes of messagesOut) sending.write(bytes);
      sending.end();
      call = sending as GrpcCall;
    }
    if ('read' in call) call.on('data', take).on('error', () => undefined);
    signal?.addEventListener('abort', () => call.cancel(), { once: true });
    // The status comes before the callback of a single answer.
    const onStatus = (status: grpc.StatusObject): void =>
      void setImmediate(() => resolve({ messages, ...resultOf(status) }));
    call.on('status', onStatus);
  });
}

function resultOf(status: grpc.StatusObject): Omit<CallResult, 'messages'> {
  const [details] = status.metadata.get('grpc-status-details-bin');
  const trailers = {
    'grpc-status': String(status.code),
    ...(Buffer.isBuffer(details) ? { 'grpc-status-details-bin': details.toString('base64') } : {}),
  };
  const code = errorOfTrailers(trailers)?.code ?? 'OK';
  return { status: status.code, text: status.code === 0 ? '' : status.details, code, outcomeUnknown: false };
}
