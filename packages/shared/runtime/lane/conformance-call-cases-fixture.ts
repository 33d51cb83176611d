/** Cases of the conformance tests about calls as they are meant: kinds of calls, statuses, metadata. */
import type { Code } from '@connectrpc/connect';
import type { ErrorName } from '@fleetmq/shared';
import { asking, early, fails, ok, refused, sends, type WireCase } from './conformance-cases-fixture.ts';
import { kinds } from './conformance-service-fixture.ts';
import { frame } from './lane-fixture.ts';

const empty = frame(new Uint8Array());

const successes: readonly WireCase[] = [
  { name: 'unary', kind: 'unary', steps: sends(asking('a')), expect: ok('a') },
  {
    name: 'server stream',
    kind: 'serverStream',
    steps: sends(asking({ say: ['a', '', 'c'] })),
    expect: ok('a', '', 'c'),
  },
  { name: 'server stream without a message', kind: 'serverStream', steps: sends(asking({})), expect: ok() },
  { name: 'client stream', kind: 'clientStream', steps: sends(asking('a'), asking('b')), expect: ok('a|b') },
  { name: 'client stream without a message', kind: 'clientStream', steps: sends(), expect: ok('') },
  { name: 'half duplex', kind: 'bidi', steps: sends(asking('a'), asking('b')), expect: ok('a', 'b') },
  { name: 'bidi without a message', kind: 'bidi', steps: sends(), expect: ok() },
  {
    name: 'full duplex: each message is answered before the next one comes',
    kind: 'bidi',
    steps: [
      ...['a', 'b', 'c'].flatMap((text, index) => [{ send: asking(text) }, { waitFor: index + 1 }]),
      { end: true as const },
    ],
    expect: ok('a', 'b', 'c'),
  },
  {
    name: 'the server ends a call whose request is still open',
    kind: 'bidi',
    steps: [{ send: asking('a') }, { waitFor: 1 }, { send: asking('stop') }],
    ...early(ok('a')),
  },
  {
    name: 'the request ends in a frame of its own',
    kind: 'serverStream',
    steps: [{ send: asking({ say: ['a'] }) }, { send: new Uint8Array() }, { end: true }],
    expect: ok('a'),
  },
  ...kinds.map((kind): WireCase => ({ name: `an empty message (${kind})`, kind, steps: sends(empty), expect: ok('') })),
];

/** One code of the catalogue for every status that it can name; 2 (UNKNOWN) is not among them. */
export const codeOfStatus: ReadonlyMap<number, ErrorName> = new Map([
  [1, 'CANCELLED'],
  [3, 'INVALID_REQUEST'],
  [4, 'TIMEOUT'],
  [5, 'TOPIC_NOT_FOUND'],
  [6, 'TOPIC_ALREADY_EXISTS'],
  [7, 'UNAUTHORIZED'],
  [8, 'LIMIT_EXCEEDED'],
  [9, 'STALE_EPOCH'],
  [10, 'PROPOSAL_DROPPED'],
  [11, 'OFFSET_OUT_OF_RANGE'],
  [12, 'UNIMPLEMENTED'],
  [13, 'UNKNOWN_ERROR'],
  [14, 'NOT_LEADER'],
  [15, 'CORRUPT_LOG'],
  [16, 'UNAUTHENTICATED'],
]);

const texts: ReadonlyMap<string, string> = new Map([
  ['plain text', 'partition orders-3 is led by 2'],
  ['other scripts', 'Größe überschritten: 注文 🚫'],
  ['control characters', 'line\r\nnext\tline\u0000\u007f'],
  ['percent signs', '100 % of %41 and %zz'],
  ['nothing', ''],
]);

const statuses: readonly WireCase[] = [
  ...[...codeOfStatus].flatMap(([status, code]) =>
    kinds.map(
      (kind): WireCase => ({
        name: `status ${status} with its details (${kind})`,
        kind,
        steps: sends(asking({ fail: { code, message: `for ${code}` } })),
        expect: fails(status, code, `for ${code}`),
      }),
    ),
  ),
  ...[...texts].map(
    ([what, message]): WireCase => ({
      name: `an error text of ${what}`,
      kind: 'unary',
      steps: sends(asking({ fail: { code: 'INVALID_REQUEST', message } })),
      expect: fails(3, 'INVALID_REQUEST', message),
    }),
  ),
  ...(['serverStream', 'bidi'] as const).map(
    (kind): WireCase => ({
      name: `an error after two messages (${kind})`,
      kind,
      steps: sends(asking({ say: ['a', 'b'], fail: { code: 'CORRUPT_LOG', message: 'bad block' } })),
      expect: fails(15, 'CORRUPT_LOG', 'bad block', ['a', 'b']),
    }),
  ),
  {
    name: 'an error while the request is open',
    kind: 'clientStream',
    steps: [{ send: asking({ fail: { code: 'CORRUPT_BATCH', message: 'bad' } }) }],
    ...early(fails(3, 'CORRUPT_BATCH', 'bad')),
  },
  ...kinds.map((kind): WireCase => {
    const expect = fails(9, 'STALE_EPOCH', 'x');
    const why = 'Connect sends headers and trailers apart, which gRPC allows as well';
    return {
      name: `an error before any message comes as trailers alone (${kind})`,
      kind,
      steps: sends(asking({ fail: { code: 'STALE_EPOCH', message: 'x' } })),
      expect: { ...expect, trailersOnly: true },
      connect: { expect: { ...expect, trailersOnly: false }, why },
    };
  }),
  {
    name: 'an error that nobody foresaw',
    kind: 'unary',
    steps: sends(asking({ crash: true })),
    expect: { status: 13, detail: 'UNKNOWN_ERROR', text: /^internal error [-0-9a-f]{36}$/ },
  },
  {
    name: 'an error of Connect that a raw handler lets through',
    kind: 'unary',
    steps: sends(asking({ status: 2 satisfies Code.Unknown })),
    expect: { status: 13, detail: 'UNKNOWN_ERROR', text: 'bare' },
    connect: {
      expect: { status: 2, text: 'bare' },
      why: 'Connect relays its own errors unchanged; the lane makes a code of the catalogue of each, which has none for 2',
    },
  },
  {
    name: 'a message that is no protobuf',
    kind: 'unary',
    steps: sends(frame(Buffer.from([0xff, 0xff]))),
    expect: refused(3, /malformed protobuf/),
    connect: {
      expect: refused(13, /parse binary/),
      why: 'Connect decodes before it calls; behind the lane handlers decode, and blame the request for what they cannot',
    },
  },
];

const metadata: readonly WireCase[] = [
  {
    name: 'a header',
    kind: 'unary',
    headers: { 'x-word': 'hello, world' },
    steps: sends(asking({ header: 'x-word' })),
    expect: ok('hello, world'),
  },
  {
    name: 'a binary header, padded',
    kind: 'serverStream',
    headers: { 'x-some-bin': 'AAEC/w==' },
    steps: sends(asking({ header: 'x-some-bin' })),
    expect: ok('AAEC/w=='),
  },
  {
    name: 'a binary header, unpadded',
    kind: 'bidi',
    headers: { 'x-some-bin': 'AAEC/w' },
    steps: sends(asking({ header: 'x-some-bin' })),
    expect: ok('AAEC/w'),
  },
  {
    name: 'a header that comes twice',
    kind: 'clientStream',
    headers: { 'x-word': ['a', 'b'] },
    steps: sends(asking({ header: 'x-word' })),
    expect: ok('a, b'),
  },
  {
    name: 'a header that is valid in HTTP but not in gRPC',
    kind: 'unary',
    headers: { 'x-word': 'gr\u00f6\u00dfe' },
    steps: sends(asking({ header: 'x-other' })),
    expect: ok('absent'),
  },
  {
    name: 'headers that gRPC reserves',
    kind: 'unary',
    headers: { 'grpc-message-type': 'x.Y', 'grpc-future': '1', 'user-agent': 'grpc-test/1' },
    steps: sends(asking({ header: 'user-agent' })),
    expect: ok('grpc-test/1'),
  },
  {
    name: 'headers that are too long one by one',
    kind: 'unary',
    headers: { 'x-long': 'x'.repeat(17_000) },
    steps: sends(asking('a')),
    expect: { http: 0, type: 'none', status: -1, reset: 'ENHANCE_YOUR_CALM' },
  },
  {
    name: 'headers that are too many bytes together',
    kind: 'unary',
    headers: Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`x-${i + 100}`, 'x'.repeat(130)])),
    steps: sends(asking('a')),
    expect: { http: 0, type: 'none', status: -1, reset: 'ENHANCE_YOUR_CALM' },
  },
];

export const callCases: readonly WireCase[] = [...successes, ...statuses, ...metadata];
