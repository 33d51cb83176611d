/** For the conformance tests: the scripted service on a server of @grpc/grpc-js, which shares no code with the lane. */
import type { EventEmitter } from 'node:events';
import { isDomainError } from '@fleetmq/shared';
import * as grpc from '@grpc/grpc-js';
import {
  type ConformanceServer,
  decodeRequest,
  encodeAnswer,
  type HandlerEvents,
  type Kind,
  kinds,
  methodOf,
  perform,
  type ScriptContext,
} from './conformance-service-fixture.ts';
import { methodPath } from './raw.ts';
import { errorTrailers } from './status.ts';

type SingleCall = grpc.ServerUnaryCall<Buffer, Buffer> | grpc.ServerWritableStream<Buffer, Buffer>;
type StreamedCall = grpc.ServerReadableStream<Buffer, Buffer> | grpc.ServerDuplexStream<Buffer, Buffer>;
type Done = grpc.sendUnaryData<Buffer>;
type Writer = grpc.ServerWritableStream<Buffer, Buffer> | grpc.ServerDuplexStream<Buffer, Buffer>;

export async function startGrpcJsServer(): Promise<ConformanceServer> {
  const events: HandlerEvents = { started: 0, aborted: 0, completed: 0 };
  const server = new grpc.Server();
  const definition: grpc.ServiceDefinition = Object.fromEntries(kinds.map((kind) => [kind, definitionOf(kind)]));
  const handlers: Readonly<Record<Kind, unknown>> = {
    unary: (call: grpc.ServerUnaryCall<Buffer, Buffer>, done: Done) => answerOnce(call, [call.request], events, done),
    clientStream: (call: grpc.ServerReadableStream<Buffer, Buffer>, done: Done) =>
      answerOnce(call, requestsOf(call), events, done),
    serverStream: (call: grpc.ServerWritableStream<Buffer, Buffer>) => answerMany(call, [call.request], events),
    bidi: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => answerMany(call, requestsOf(call), events),
  };
  server.addService(definition, handlers as grpc.UntypedServiceImplementation);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return {
    url: `http://127.0.0.1:${port}`,
    events,
    openCalls: () => 0,
    [Symbol.asyncDispose]: async () => server.forceShutdown(),
  };
}

/** Messages stay bytes here: of texts, the library takes an empty one for none. */
function definitionOf(kind: Kind): grpc.MethodDefinition<Buffer, Buffer> {
  const asIs = (bytes: Buffer): Buffer => bytes;
  return {
    path: methodPath(methodOf[kind]),
    requestStream: kind === 'clientStream' || kind === 'bidi',
    responseStream: kind === 'serverStream' || kind === 'bidi',
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  };
}

function contextOf(call: SingleCall | StreamedCall, events: HandlerEvents): ScriptContext {
  const controller = new AbortController();
  events.started++;
  // All calls are emitters; of their union of types TypeScript cannot tell which `on` this is.
  (call as EventEmitter).on('cancelled', () => {
    events.aborted++;
    controller.abort(new Error('cancelled'));
  });
  const deadline = call.getDeadline();
  return {
    signal: controller.signal,
    deadlineMs: deadline === Number.POSITIVE_INFINITY ? undefined : Number(deadline) - Date.now(),
    header: (name) => call.metadata.get(name).map(String).join(', ') || undefined,
  };
}

type Requests = readonly Buffer[] | AsyncIterable<Buffer>;

/** A loop that is left early must not destroy the call: its status is still to be sent. */
function requestsOf(call: StreamedCall): AsyncIterable<Buffer> {
  return call.iterator({ destroyOnReturn: false });
}

async function answerOnce(
  call: SingleCall | StreamedCall,
  requests: Requests,
  events: HandlerEvents,
  done: Done,
): Promise<void> {
  try {
    const context = contextOf(call, events);
    const said: string[] = [];
    for await (const request of requests) {
      for await (const text of perform(decodeRequest(request), context)) said.push(text);
    }
    events.completed++;
    const kind = Array.isArray(requests) ? 'unary' : 'clientStream';
    done(null, Buffer.from(encodeAnswer(kind, said.join('|'))));
  } catch (error) {
    done(statusObject(error));
  }
}

async function answerMany(call: Writer, requests: Requests, events: HandlerEvents): Promise<void> {
  try {
    const context = contextOf(call, events);
    const kind = Array.isArray(requests) ? 'serverStream' : 'bidi';
    for await (const request of requests) {
      for await (const text of perform(decodeRequest(request), context)) {
        call.write(Buffer.from(encodeAnswer(kind, text)));
      }
    }
    events.completed++;
    call.end();
  } catch (error) {
    call.emit('error', statusObject(error));
  }
}

function statusObject(error: unknown): grpc.StatusObject & Error {
  const metadata = new grpc.Metadata();
  if (!isDomainError(error)) {
    return Object.assign(new Error('unforeseen'), { code: grpc.status.UNKNOWN, details: 'unforeseen', metadata });
  }
  const trailers = errorTrailers(error);
  metadata.set('grpc-status-details-bin', Buffer.from(trailers['grpc-status-details-bin'] as string, 'base64'));
  return Object.assign(new Error(error.message), {
    code: Number(trailers['grpc-status']),
    details: error.message,
    metadata,
  });
}
