/**
 * Cases of the conformance tests about answers: what a peer sends, what gRPC makes of it, and what the lane's client calls it.
 *
 * The lane's client has no numbers but the codes of the catalogue, by which callers decide whether to try again. Where its
 * code travels as another number than gRPC names, the case says why.
 */
import { constants, type OutgoingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { DomainError, type ErrorName, errorNameOfStatus } from '@fleetmq/shared';
import { encodeAnswer, type Kind, kinds } from './conformance-service-fixture.ts';
import { frame } from './lane-fixture.ts';
import { errorTrailers } from './status.ts';

export interface AnswerCase {
  readonly name: string;
  readonly kind: Kind;
  readonly answer: (stream: ServerHttp2Stream) => void;
  readonly messages?: readonly string[];
  /** The gRPC status that the call ends with, as Connect's client has it; default 0. */
  readonly status?: number;
  /** The code of the lane's client; default: the one that stands for the status. */
  readonly code?: ErrorName | 'OK';
  /** Why the two differ. */
  readonly why?: string;
  readonly text?: string | RegExp;
  /** What Connect's client makes of it instead. */
  readonly connect?: { readonly status: number; readonly why: string };
  /** The lane's client must not say that nothing was done. */
  readonly outcomeUnknown?: true;
}

const grpcHeaders = { ':status': 200, 'content-type': 'application/grpc' };

/** Headers, a body in DATA frames of their own, and trailers; without trailers the body ends the stream. */
function answers(headers: OutgoingHttpHeaders, body: readonly Uint8Array[], trailers?: OutgoingHttpHeaders) {
  return async (stream: ServerHttp2Stream): Promise<void> => {
    stream.respond({ ...grpcHeaders, ...headers }, { waitForTrailers: trailers !== undefined });
    if (trailers !== undefined) stream.on('wantTrailers', () => stream.sendTrailers(trailers));
    for (const chunk of body) await new Promise<void>((resolve) => stream.write(chunk, () => resolve()));
    stream.end();
  };
}

function trailersOnly(headers: OutgoingHttpHeaders) {
  return (stream: ServerHttp2Stream): void => stream.respond({ ...grpcHeaders, ...headers }, { endStream: true });
}

function saying(kind: Kind, text: string): Buffer {
  return frame(encodeAnswer(kind, text));
}

const ok = { 'grpc-status': '0' };

const goodAnswers: readonly AnswerCase[] = [
  ...kinds.flatMap((kind): AnswerCase[] => [
    { name: `a message (${kind})`, kind, answer: answers({}, [saying(kind, 'a')], ok), messages: ['a'] },
    { name: `an empty message (${kind})`, kind, answer: answers({}, [saying(kind, '')], ok), messages: [''] },
    {
      name: `a message byte by byte (${kind})`,
      kind,
      answer: answers(
        {},
        Array.from(saying(kind, 'hello'), (byte) => Uint8Array.of(byte)),
        ok,
      ),
      messages: ['hello'],
    },
  ]),
  {
    name: 'many messages in one DATA frame',
    kind: 'serverStream',
    answer: answers({}, [Buffer.concat(['a', '', 'c'].map((text) => saying('serverStream', text)))], ok),
    messages: ['a', '', 'c'],
  },
  { name: 'no message, in trailers alone', kind: 'serverStream', answer: trailersOnly(ok), messages: [] },
  { name: 'no message', kind: 'bidi', answer: answers({}, [], ok), messages: [] },
  {
    name: 'a content type with +proto',
    kind: 'unary',
    answer: answers({ 'content-type': 'application/grpc+proto' }, [saying('unary', 'a')], ok),
    messages: ['a'],
  },
];

const bareStatuses: readonly AnswerCase[] = Array.from({ length: 16 }, (_, index) => index + 1).flatMap((status) => {
  const headers = { 'grpc-status': String(status), 'grpc-message': 'gr%C3%B6%C3%9Fe' };
  const common = { kind: 'unary', status, code: errorNameOfStatus(status), text: 'größe' } as const;
  const why = 'a status without details names a code of the catalogue only roughly';
  return [
    { ...common, name: `status ${status} without details`, answer: answers({}, [], headers), why },
    { ...common, name: `status ${status} in trailers alone`, answer: trailersOnly(headers), why },
  ];
});

const detailed = errorTrailers(new DomainError('NOT_LEADER', 'led by 2'));
const statuses: readonly AnswerCase[] = [
  {
    name: 'a status whose details name another one',
    kind: 'unary',
    answer: trailersOnly({ ...detailed, 'grpc-status': '13' }),
    status: 14,
    code: 'NOT_LEADER',
    text: 'led by 2',
  },
  {
    name: 'an error after two messages',
    kind: 'serverStream',
    answer: answers({}, [saying('serverStream', 'a'), saying('serverStream', 'b')], detailed),
    messages: ['a', 'b'],
    status: 14,
    code: 'NOT_LEADER',
    text: 'led by 2',
  },
  {
    name: 'a status in the headers and another one in the trailers',
    kind: 'unary',
    answer: answers({ 'grpc-status': '16' }, [], { 'grpc-status': '7' }),
    status: 7,
  },
  {
    name: 'a status in the headers before a body without trailers',
    kind: 'unary',
    answer: answers({ 'grpc-status': '7' }, [saying('unary', 'a')]),
    status: 13,
    code: 'NOT_AVAILABLE',
    why: 'an answer that breaks off is like a connection that is lost: callers go on at another node',
    connect: { status: 2, why: 'Connect believes that the headers end the call, and finds a message behind them' },
    outcomeUnknown: true,
  },
  ...[
    [400, 13],
    [401, 16],
    [403, 7],
    [404, 12],
    [418, 2],
    [429, 14],
    [502, 14],
    [503, 14],
    [504, 14],
  ].map(
    ([http = 0, status = 0]): AnswerCase => ({
      name: `status ${http} of HTTP`,
      kind: 'unary',
      answer: (stream) => stream.respond({ ':status': http, 'content-type': 'text/html' }, { endStream: true }),
      status,
      ...(status === 2 ? { code: 'UNKNOWN_ERROR', why: 'the catalogue has one code for UNKNOWN and INTERNAL' } : {}),
      ...(http >= 500 ? { outcomeUnknown: true } : {}),
    }),
  ),
];

const brokenOff = {
  code: 'NOT_AVAILABLE',
  why: 'an answer that breaks off is like a connection that is lost: callers go on at another node',
  outcomeUnknown: true,
} as const;

const noGrpc = {
  code: 'NOT_AVAILABLE',
  why: 'whoever answers so is no node of a fleet, or not yet: callers go on at another one',
  outcomeUnknown: true,
} as const;

const broken: readonly AnswerCase[] = [
  ...(['unary', 'clientStream'] as const).flatMap((kind): AnswerCase[] => [
    { name: `OK without a message (${kind})`, kind, answer: answers({}, [], ok), status: 12 },
    {
      name: `OK with two messages (${kind})`,
      kind,
      answer: answers({}, [saying(kind, 'a'), saying(kind, 'b')], ok),
      status: 12,
    },
  ]),
  ...kinds.map(
    (kind): AnswerCase => ({
      name: `no status at the end (${kind})`,
      kind,
      answer: answers({}, [saying(kind, 'a')]),
      messages: kind === 'serverStream' || kind === 'bidi' ? ['a'] : [],
      status: 13,
      ...brokenOff,
    }),
  ),
  {
    name: 'trailers without a status',
    kind: 'unary',
    answer: answers({}, [], { 'x-y': 'z' }),
    status: 13,
    ...brokenOff,
  },
  {
    name: 'a content type that is not gRPC',
    kind: 'unary',
    answer: (stream) => stream.respond({ ':status': 200, 'content-type': 'image/jpeg' }, { endStream: true }),
    status: 2,
    ...noGrpc,
  },
  ...kinds.map(
    (kind): AnswerCase => ({
      name: `a message marked as compressed (${kind})`,
      kind,
      answer: answers({}, [frame(encodeAnswer(kind, 'a'), 1)], ok),
      status: 13,
      outcomeUnknown: true,
    }),
  ),
  {
    name: 'a message compressed in an unknown way',
    kind: 'unary',
    answer: answers({ 'grpc-encoding': 'unheard-of' }, [frame(encodeAnswer('unary', 'a'), 1)], ok),
    status: 13,
    outcomeUnknown: true,
  },
  ...(['unary', 'serverStream'] as const).flatMap((kind): AnswerCase[] => [
    {
      name: `a frame that ends in its header (${kind})`,
      kind,
      answer: answers({}, [saying(kind, 'a').subarray(0, 3)], ok),
      status: 3,
      ...brokenOff,
    },
    {
      name: `a frame that is shorter than it says (${kind})`,
      kind,
      answer: answers({}, [frame(encodeAnswer(kind, 'abc'), 0, 10)], ok),
      status: 3,
      ...brokenOff,
    },
    {
      name: `a message that is too long (${kind})`,
      kind,
      answer: answers({}, [frame(Buffer.alloc(10), 0, 0x7f_00_00_00)], ok),
      status: 8,
      code: 'REQUEST_TOO_LARGE',
      outcomeUnknown: true,
    },
  ]),
];

const notByCode = {
  connect: { status: 13, why: 'Connect sees that Node reports an error before it sees the code of the reset' },
} as const;
const resetCodes: readonly (readonly [name: string, status: number, own?: Partial<AnswerCase>])[] = [
  ['PROTOCOL_ERROR', 13, brokenOff],
  ['INTERNAL_ERROR', 13, brokenOff],
  ['FLOW_CONTROL_ERROR', 13, brokenOff],
  ['REFUSED_STREAM', 14, notByCode],
  ['CANCEL', 1, brokenOff],
  ['COMPRESSION_ERROR', 13, brokenOff],
  ['ENHANCE_YOUR_CALM', 8, { ...notByCode, outcomeUnknown: true }],
  ['INADEQUATE_SECURITY', 7, { ...notByCode, outcomeUnknown: true }],
];

const resets: readonly AnswerCase[] = resetCodes.flatMap(([name, status, own]) =>
  kinds.map(
    (kind): AnswerCase => ({
      name: `reset with ${name} (${kind})`,
      kind,
      answer: (stream) => stream.close((constants as unknown as Record<string, number>)[`NGHTTP2_${name}`]),
      status,
      ...own,
    }),
  ),
);

export const answerCases: readonly AnswerCase[] = [...goodAnswers, ...bareStatuses, ...statuses, ...broken, ...resets];
