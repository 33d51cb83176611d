/** Cases of the conformance tests about the end of a call before its time: deadlines, and callers that cancel. */
import { asking, cancel, early, ok, refused, sends, type WireCase } from './conformance-cases-fixture.ts';
import { kinds } from './conformance-service-fixture.ts';

const malformedTimeouts = ['123456789S', 'soon', '10', '1 S', '-1S', '1.5S', '1s', 'S', ''];

const deadlines: readonly WireCase[] = [
  ...['2H', '120M', '7200S', '7200000m', '99999999u'].map(
    (timeout): WireCase => ({
      name: `a timeout of ${timeout}`,
      kind: 'serverStream',
      headers: { 'grpc-timeout': timeout },
      steps: sends(asking({ deadline: true })),
      expect: ok('a deadline'),
    }),
  ),
  {
    name: 'a stream without a timeout',
    kind: 'serverStream',
    steps: sends(asking({ deadline: true })),
    expect: ok('no deadline'),
  },
  ...malformedTimeouts.map(
    (timeout): WireCase => ({
      name: `a timeout of "${timeout}"`,
      kind: 'unary',
      headers: { 'grpc-timeout': timeout },
      steps: sends(asking('a')),
      expect: refused(3, /timeout/),
    }),
  ),
  {
    name: 'a unary timeout that is over the limit of the server',
    kind: 'unary',
    headers: { 'grpc-timeout': '99999999H' },
    steps: sends(asking({ deadline: true })),
    expect: ok('a deadline'),
    connect: {
      expect: refused(3, /must be <=/),
      why: 'Connect refuses what is over the limit; the lane gives such a call the longest time there is',
    },
  },
  ...['0S', '0n'].map(
    (timeout): WireCase => ({
      name: `a timeout of ${timeout}`,
      kind: 'unary',
      headers: { 'grpc-timeout': timeout },
      steps: sends(asking('a')),
      expect: refused(4, /./),
    }),
  ),
  ...kinds.flatMap((kind) =>
    ['50m', '50000u', '1n'].map(
      (timeout): WireCase => ({
        name: `a deadline of ${timeout} that passes (${kind})`,
        kind,
        headers: { 'grpc-timeout': timeout },
        steps: sends(asking({ hang: true })),
        expect: refused(4, /./),
      }),
    ),
  ),
  ...(['serverStream', 'bidi'] as const).map(
    (kind): WireCase => ({
      name: `a deadline that passes after a message (${kind})`,
      kind,
      headers: { 'grpc-timeout': '2S' },
      steps: sends(asking({ say: ['a'], hang: true })),
      expect: refused(4, /./, ['a']),
      abortsHandler: true,
    }),
  ),
  {
    name: 'a deadline that passes while the request is open',
    kind: 'clientStream',
    headers: { 'grpc-timeout': '50m' },
    steps: [{ send: asking('a') }],
    ...early(refused(4, /./)),
  },
];

const cancels: readonly WireCase[] = [
  ...(['unary', 'clientStream'] as const).map(
    (kind): WireCase => ({
      name: `cancelled while it is served (${kind})`,
      kind,
      steps: [...sends(asking({ hang: true })), { started: true }, cancel],
      expect: { http: 0, type: 'none', status: -1 },
      abortsHandler: true,
    }),
  ),
  ...(['serverStream', 'bidi'] as const).map(
    (kind): WireCase => ({
      name: `cancelled after a message (${kind})`,
      kind,
      steps: [...sends(asking({ say: ['a'], hang: true })), { waitFor: 1 }, cancel],
      expect: { status: -1, messages: ['a'] },
      abortsHandler: true,
    }),
  ),
  {
    name: 'cancelled while the request is open',
    kind: 'bidi',
    steps: [{ send: asking('a') }, { waitFor: 1 }, cancel],
    expect: { status: -1, messages: ['a'] },
    abortsHandler: true,
  },
];

export const deadlineCases: readonly WireCase[] = [...deadlines, ...cancels];
