/** Cases of the conformance tests about what a request says of itself: content type, method, path, `te`. */
import { asking, type Expectation, fails, ok, plain, sends, type WireCase } from './conformance-cases-fixture.ts';
import { kinds } from './conformance-service-fixture.ts';
import { frame } from './lane-fixture.ts';

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

export const requestCases: readonly WireCase[] = [
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
