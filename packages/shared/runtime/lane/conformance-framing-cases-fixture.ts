/** Cases of the conformance tests about bytes and headers: frames, lengths, flags, encodings, content types, paths, methods. */
import {
  asking,
  type Expectation,
  early,
  fails,
  frame,
  ok,
  plain,
  refused,
  sends,
  unknownEncoding,
  type WireCase,
} from './conformance-cases-fixture.ts';
import { conformanceLimits, encodeRequest, type Kind, kinds, type Script } from './conformance-service-fixture.ts';

const readMax = conformanceLimits.readMaxBytes;
const writeMax = conformanceLimits.writeMaxBytes;
const single: readonly Kind[] = ['unary', 'serverStream'];
const streamed: readonly Kind[] = ['clientStream', 'bidi'];

/** A request whose message has exactly so many bytes: its script is filled up with spaces. */
function sized(bytes: number, script: Script): Buffer {
  const overhead = encodeRequest('x'.repeat(bytes)).length - bytes;
  return frame(encodeRequest(JSON.stringify(script).padEnd(bytes - overhead)));
}

function byteByByte(bytes: Uint8Array): Uint8Array[] {
  return Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));
}

const boundaries: readonly WireCase[] = [
  ...kinds.map(
    (kind): WireCase => ({
      name: `one byte per DATA frame (${kind})`,
      kind,
      steps: sends(...byteByByte(asking('hello'))),
      expect: ok('hello'),
    }),
  ),
  {
    name: 'many messages in one DATA frame',
    kind: 'bidi',
    steps: sends(Buffer.concat(Array.from({ length: 50 }, (_, i) => asking(`${i}`)))),
    expect: ok(...Array.from({ length: 50 }, (_, i) => `${i}`)),
  },
  {
    name: 'DATA frames that end inside headers and messages',
    kind: 'clientStream',
    steps: sends(...cutAt(Buffer.concat([asking('one'), asking('two'), asking('three')]), [3, 7, 11, 12, 20])),
    expect: ok('one|two|three'),
  },
  {
    name: 'empty DATA frames in between',
    kind: 'clientStream',
    steps: sends(Buffer.alloc(0), asking('a'), Buffer.alloc(0), asking('b'), Buffer.alloc(0)),
    expect: ok('a|b'),
  },
  {
    name: 'an answer of many frames of HTTP/2',
    kind: 'serverStream',
    steps: sends(asking({ say: ['x'.repeat(9_000), 'y'.repeat(9_900)] })),
    expect: ok('x'.repeat(9_000), 'y'.repeat(9_900)),
  },
];

const withoutData: readonly WireCase[] = streamed.map((kind) => ({
  name: `a request that ends with its headers (${kind})`,
  kind,
  steps: [],
  headersOnly: true,
  expect: ok(...(kind === 'clientStream' ? [''] : [])),
}));

function cutAt(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  return [0, ...places].map((start, index) => bytes.subarray(start, places[index] ?? bytes.length));
}

const counts: readonly WireCase[] = single.flatMap((kind): WireCase[] => [
  { name: `no message (${kind})`, kind, steps: sends(), expect: refused(12, /message/) },
  { name: `no message and no DATA (${kind})`, kind, steps: [], headersOnly: true, expect: refused(12, /message/) },
  { name: `two messages (${kind})`, kind, steps: sends(asking('a'), asking('b')), expect: refused(12, /message/) },
  {
    name: `two messages in one DATA frame (${kind})`,
    kind,
    steps: sends(Buffer.concat([asking('a'), asking('b')])),
    expect: refused(12, /message/),
  },
]);

const brokenFrames: readonly WireCase[] = [
  ...kinds.flatMap((kind): WireCase[] => [
    {
      name: `a frame that ends in its header (${kind})`,
      kind,
      steps: sends(asking('a').subarray(0, 3)),
      expect: refused(3, /./),
    },
    {
      name: `a frame that is shorter than it says (${kind})`,
      kind,
      steps: sends(frame(encodeRequest('abc'), 0, 10)),
      expect: refused(3, /./),
    },
    {
      name: `a length over the limit (${kind})`,
      kind,
      steps: [{ send: frame(encodeRequest('abc'), 0, readMax + 1) }],
      ...early(refused(8, /limit|size/)),
    },
    {
      name: `the longest length there is (${kind})`,
      kind,
      steps: [{ send: frame(encodeRequest('abc'), 0, 0xffffffff) }],
      ...early(refused(8, /limit|size/)),
    },
  ]),
  ...streamed.map(
    (kind): WireCase => ({
      name: `a good message before a broken one (${kind})`,
      kind,
      steps: sends(asking('a'), asking('b').subarray(0, 6)),
      expect: refused(3, /./, kind === 'bidi' ? ['a'] : []),
    }),
  ),
];

const sizes: readonly WireCase[] = [
  {
    name: 'a request of just the size that is allowed',
    kind: 'bidi',
    steps: sends(sized(readMax, { say: ['a'] })),
    expect: ok('a'),
  },
  {
    name: 'a request that is a byte over the size',
    kind: 'unary',
    steps: sends(sized(readMax + 1, { say: ['a'] })),
    expect: refused(8, /size|limit/),
  },
  {
    name: 'an answer that is over the size',
    kind: 'unary',
    steps: sends(asking({ size: writeMax + 1 })),
    expect: refused(8, /size|limit/),
  },
  {
    name: 'an answer that is over the size, after one that is not',
    kind: 'serverStream',
    steps: sends(asking({ say: ['a'], size: writeMax + 1 })),
    expect: refused(8, /size|limit/, ['a']),
  },
];

const flags: readonly WireCase[] = [
  ...[undefined, 'identity'].flatMap((encoding) =>
    kinds.map(
      (kind): WireCase => ({
        name: `a message marked as compressed, with encoding ${encoding} (${kind})`,
        kind,
        headers: { 'grpc-encoding': encoding },
        steps: sends(frame(encodeRequest('a'), 1)),
        expect: refused(13, /compressed/),
      }),
    ),
  ),
  ...['gzip', 'unheard-of'].flatMap((encoding) =>
    kinds.map(
      (kind): WireCase => ({
        name: `a message compressed with ${encoding} (${kind})`,
        kind,
        headers: { 'grpc-encoding': encoding },
        steps: sends(frame(encodeRequest('a'), 1)),
        ...unknownEncoding(encoding),
      }),
    ),
  ),
  {
    name: 'an encoding that is not taken, with a message that is not marked',
    kind: 'unary',
    headers: { 'grpc-encoding': 'gzip' },
    steps: sends(asking('a')),
    ...unknownEncoding('gzip'),
  },
  {
    name: 'encoding identity',
    kind: 'unary',
    headers: { 'grpc-encoding': 'identity', 'grpc-accept-encoding': 'identity' },
    steps: sends(asking('a')),
    expect: ok('a'),
  },
  {
    name: 'a caller that takes compressed answers gets plain ones',
    kind: 'serverStream',
    headers: { 'grpc-accept-encoding': 'gzip,deflate,identity' },
    steps: sends(asking({ say: ['a', 'b'] })),
    expect: ok('a', 'b'),
  },
  ...[2, 0x80].map(
    (flag): WireCase => ({
      name: `a frame with flag ${flag}`,
      kind: 'unary',
      steps: sends(frame(encodeRequest('a'), flag)),
      expect: refused(3, /flag/),
      connect: { expect: ok('a'), why: 'Connect looks at the lowest bit of the flags alone' },
    }),
  ),
];

const unsupportedType = plain(415);
const parameters = { expect: unsupportedType, why: 'Connect takes parameters behind +json alone' };
const types: readonly (readonly [string | undefined, Expectation, WireCase['connect']?])[] = [
  ['application/grpc+proto', ok('a')],
  ['APPLICATION/GRPC', ok('a')],
  ['application/grpc;charset=utf-8', ok('a'), parameters],
  ['application/grpc+proto; charset=utf-8', ok('a'), parameters],
  ['application/grpc+thrift', unsupportedType],
  ['application/grpcfoo', unsupportedType],
  ['image/jpeg', unsupportedType],
  [undefined, unsupportedType],
];

const requests: readonly WireCase[] = [
  ...types.map(
    ([contentType, expect, connect]): WireCase => ({
      name: `content type ${contentType}`,
      kind: 'unary',
      headers: { 'content-type': contentType },
      steps: sends(asking('a')),
      expect,
      ...(connect === undefined ? {} : { connect }),
    }),
  ),
  {
    name: 'content type application/grpc+json',
    kind: 'unary',
    headers: { 'content-type': 'application/grpc+json' },
    steps: sends(frame(Buffer.from('{"clientId":"a"}'))),
    expect: { type: 'grpc+json' },
  },
  {
    name: 'content type application/grpc-web+proto',
    kind: 'unary',
    headers: { 'content-type': 'application/grpc-web+proto' },
    steps: sends(asking('a')),
    expect: { type: 'grpc-web', status: -1 },
  },
  ...kinds.map(
    (kind): WireCase => ({
      name: `without te: trailers (${kind})`,
      kind,
      headers: { te: undefined },
      steps: sends(asking('a')),
      expect: ok('a'),
    }),
  ),
  ...['GET', 'PUT', 'DELETE'].map(
    (method): WireCase => ({
      name: `method ${method}`,
      kind: 'unary',
      headers: { ':method': method },
      steps: method === 'PUT' ? sends(asking('a')) : [],
      ...(method === 'PUT' ? {} : { headersOnly: true }),
      expect: plain(405),
    }),
  ),
  ...(
    [
      ['unknown method', '/rustmq.streaming.StreamingService/Nothing'],
      ['unknown service', '/rustmq.streaming.Nothing/UpdateQuery'],
      ['method in other letters', '/rustmq.streaming.StreamingService/updatequery'],
      ['path that ends in a slash', '/rustmq.streaming.StreamingService/UpdateQuery/'],
      ['path without a method', '/rustmq.streaming.StreamingService'],
      ['root path', '/'],
    ] as const
  ).map(
    ([what, path]): WireCase => ({
      name: what,
      kind: 'unary',
      headers: { ':path': path },
      steps: sends(asking('a')),
      expect: fails(12, 'UNIMPLEMENTED', `${path} is not served here`),
    }),
  ),
  {
    name: 'path with a query',
    kind: 'unary',
    headers: { ':path': '/rustmq.streaming.StreamingService/UpdateQuery?x=1' },
    steps: sends(asking('a')),
    expect: ok('a'),
  },
];

export const framingCases: readonly WireCase[] = [
  ...boundaries,
  ...withoutData,
  ...counts,
  ...brokenFrames,
  ...sizes,
  ...flags,
  ...requests,
];
