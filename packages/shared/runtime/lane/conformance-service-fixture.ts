/**
 * For the conformance tests: one service that does what a request's script says, mounted on the lane and on Connect alone.
 *
 * A request carries its script in `client_id` (field 2 of all four request messages): JSON as in `Script`, or any other text,
 * which is said back. Requests and answers are written field by field, because half of the cases are about bytes that no
 * message class would write.
 */
import { type Code, ConnectError } from '@connectrpc/connect';
import { StreamingService } from '@fleetmq/gen/streaming/stream';
import { DomainError, type ErrorName, WireReader, WireWriter, wireBytes } from '@fleetmq/shared';
import { startRpcServer } from '../rpc-server.ts';
import { bridgeRaw } from './bridge.ts';
import { bidiMethod, clientStreamMethod, serverStreamMethod, unaryMethod } from './lane-fixture.ts';
import { type RawContext, type ServiceRoutes, serviceRoutes } from './raw.ts';

export type Kind = 'unary' | 'serverStream' | 'clientStream' | 'bidi';
export const kinds: readonly Kind[] = ['unary', 'serverStream', 'clientStream', 'bidi'];

export const methodOf = {
  unary: unaryMethod,
  serverStream: serverStreamMethod,
  clientStream: clientStreamMethod,
  bidi: bidiMethod,
} as const;

/** What the handler does, in this order. */
export interface Script {
  readonly say?: readonly string[];
  /** Says a header of the request, by its name. */
  readonly header?: string;
  /** Says whether the call has a deadline. */
  readonly deadline?: true;
  /** Says so many letters. */
  readonly size?: number;
  readonly hang?: true;
  readonly fail?: { readonly code: ErrorName; readonly message: string };
  /** Fails with a bare status, as code does that relays an error of Connect. */
  readonly status?: Code;
  /** Fails with an error that nobody foresaw. */
  readonly crash?: true;
}

/** What a script needs to know of its call: also a server that is not ours can run one. */
export type ScriptContext = Pick<RawContext, 'header' | 'signal' | 'deadlineMs'>;

export async function* perform(text: string, context: ScriptContext): AsyncGenerator<string> {
  if (!text.startsWith('{')) {
    yield text;
    return;
  }
  const script = JSON.parse(text) as Script;
  yield* script.say ?? [];
  if (script.header !== undefined) yield context.header(script.header) ?? 'absent';
  if (script.deadline !== undefined) yield context.deadlineMs === undefined ? 'no deadline' : 'a deadline';
  if (script.size !== undefined) yield 'x'.repeat(script.size);
  if (script.hang !== undefined) await aborted(context.signal);
  if (script.status !== undefined) throw new ConnectError('bare', script.status);
  if (script.crash !== undefined) throw new TypeError('secret');
  if (script.fail !== undefined) {
    throw new DomainError(script.fail.code, script.fail.message, { leaderHint: '2@h:1', retryAfterMs: 40 });
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const end = (): void => reject(signal.reason);
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
  });
}

/** Number of the field that carries the text of an answer. */
const answerField: Readonly<Record<Kind, number>> = { unary: 2, serverStream: 4, clientStream: 2, bidi: 5 };
const requestField = 2;

export function encodeRequest(text: string): Uint8Array {
  return textField(requestField, text);
}

export function decodeRequest(bytes: Uint8Array): string {
  return readText(requestField, bytes);
}

export function encodeAnswer(kind: Kind, text: string): Uint8Array {
  return textField(answerField[kind], text);
}

export function decodeAnswer(kind: Kind, bytes: Uint8Array): string {
  return readText(answerField[kind], bytes);
}

function textField(field: number, text: string): Uint8Array {
  return text === '' ? new Uint8Array() : new WireWriter().bytesField(field, new TextEncoder().encode(text)).finish();
}

function readText(field: number, bytes: Uint8Array): string {
  const reader = new WireReader(bytes);
  let text = '';
  while (!reader.done) {
    const tag = reader.varint();
    if (tag === field * 8 + wireBytes) text = new TextDecoder().decode(reader.view());
    else reader.skip(tag % 8);
  }
  return text;
}

/** How many handlers have begun, were told that their call is over, and saw the end of a request of many messages. */
export interface HandlerEvents {
  started: number;
  aborted: number;
  completed: number;
}

function scriptedRoutes(events: HandlerEvents): ServiceRoutes {
  const watched = (context: RawContext): RawContext => {
    events.started++;
    context.signal.addEventListener('abort', () => events.aborted++, { once: true });
    return context;
  };
  const refuse = (): never => {
    throw new DomainError('UNIMPLEMENTED', 'not part of the tests');
  };
  return serviceRoutes(
    StreamingService,
    {
      updateQuery: async (request, context) => {
        const said: string[] = [];
        for await (const text of perform(decodeRequest(request), watched(context))) said.push(text);
        return encodeAnswer('unary', said.join('|'));
      },
      subscribe: async function* (request, context) {
        const said = perform(decodeRequest(request), watched(context));
        for await (const text of said) yield encodeAnswer('serverStream', text);
      },
      bulkLoad: async (requests, context) => {
        watched(context);
        const said: string[] = [];
        for await (const request of requests) {
          for await (const text of perform(decodeRequest(request), context)) said.push(text);
        }
        events.completed++;
        return encodeAnswer('clientStream', said.join('|'));
      },
      interactiveQuery: async function* (requests, context) {
        watched(context);
        for await (const request of requests) {
          const text = decodeRequest(request);
          if (text === 'stop') return;
          for await (const said of perform(text, context)) yield encodeAnswer('bidi', said);
        }
        events.completed++;
      },
    },
    { openQuery: refuse, closeQuery: refuse, loadChunk: refuse },
  );
}

export const conformanceLimits = {
  readMaxBytes: 20_000,
  writeMaxBytes: 10_000,
  defaultTimeoutMs: 20_000,
  maxTimeoutMs: 7_200_000,
};

export interface ConformanceServer extends AsyncDisposable {
  readonly url: string;
  readonly events: HandlerEvents;
  readonly openCalls: () => number;
}

/** The service as the product mounts it, or with all of its methods handed to Connect. */
export async function startConformanceServer(on: 'lane' | 'connect'): Promise<ConformanceServer> {
  const events: HandlerEvents = { started: 0, aborted: 0, completed: 0 };
  const routes = scriptedRoutes(events);
  const bridged = { service: routes.service, typed: { ...routes.typed, ...bridgeRaw(routes.raw) }, raw: [] };
  const server = await startRpcServer({
    listen: { host: '127.0.0.1', port: 0 },
    services: [on === 'lane' ? routes : bridged],
    limits: conformanceLimits,
  });
  return {
    url: server.address.url,
    events,
    openCalls: () => server.activeCalls,
    [Symbol.asyncDispose]: () => server.close({ drainMs: 0 }),
  };
}
