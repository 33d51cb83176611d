/** Cases of the conformance tests about bytes: frames, numbers of messages, lengths, flags, encodings. */
import { asking, early, ok, refused, sends, unknownEncoding, type WireCase } from './conformance-cases-fixture.ts';
import { conformanceLimits, encodeRequest, type Kind, kinds, type Script } from './conformance-service-fixture.ts';
import { frame } from './lane-fixture.ts';

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

export const framingCases: readonly WireCase[] = [
  ...boundaries,
  ...withoutData,
  ...counts,
  ...brokenFrames,
  ...sizes,
  ...flags,
];
