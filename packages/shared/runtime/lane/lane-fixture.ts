/**
 * For the tests of the lane: a listener with raw routes on a free port, and a wait for a condition. The methods are those
 * of StreamingService, which has one of each kind; the lane never looks into their messages, so tests send any bytes.
 */
import assert from 'node:assert/strict';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { StreamingService } from '@fleetmq/gen/streaming/stream';
import { type ErrorName, isDomainError } from '@fleetmq/shared';
import type { ListenerLimits } from '../rpc-server-limits.ts';
import { createSniffingServer } from '../rpc-server-listener.ts';
import { createLaneTransport, type LaneTransport, type LaneTransportOptions } from './client.ts';
import {
  type RawBidiHandler,
  type RawClientStreamHandler,
  type RawRoute,
  type RawServerStreamHandler,
  type RawUnaryHandler,
  rawBidi,
  rawClientStream,
  rawServerStream,
  rawUnary,
} from './raw.ts';
import { createLane, type Lane, type LaneOptions } from './server.ts';

export const unaryMethod = StreamingService.method.updateQuery;
export const serverStreamMethod = StreamingService.method.subscribe;
export const clientStreamMethod = StreamingService.method.bulkLoad;
export const bidiMethod = StreamingService.method.interactiveQuery;

export interface FixtureHandlers {
  readonly unary?: RawUnaryHandler;
  readonly serverStream?: RawServerStreamHandler;
  readonly clientStream?: RawClientStreamHandler;
  readonly bidi?: RawBidiHandler;
}

export interface LaneFixture extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly lane: Lane;
}

export async function startLane(
  handlers: FixtureHandlers,
  options: Omit<LaneOptions, 'routes'> & { readonly listener?: Partial<ListenerLimits> } = {},
): Promise<LaneFixture> {
  const routes: RawRoute[] = [];
  if (handlers.unary !== undefined) routes.push(rawUnary(unaryMethod, handlers.unary));
  if (handlers.serverStream !== undefined) routes.push(rawServerStream(serverStreamMethod, handlers.serverStream));
  if (handlers.clientStream !== undefined) routes.push(rawClientStream(clientStreamMethod, handlers.clientStream));
  if (handlers.bidi !== undefined) routes.push(rawBidi(bidiMethod, handlers.bidi));
  const lane = createLane({ ...options, routes });
  const server = createSniffingServer((_request, response) => response.end('not the lane'), {
    lane,
    ...(options.listener === undefined ? {} : { limits: options.listener }),
  });
  await new Promise<void>((resolve) => server.listen({ host: '127.0.0.1', port: 0 }, resolve));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, port, lane, [Symbol.asyncDispose]: () => server.drain(0) };
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** Waits until the condition holds; fails after `withinMs`. */
export async function until(condition: () => boolean, what: string, withinMs = 5_000): Promise<void> {
  const endsAt = performance.now() + withinMs;
  while (!condition()) {
    if (performance.now() > endsAt) throw new Error(`gave up waiting until ${what}`);
    await sleep(5);
  }
}

/** A check for `assert.rejects` and `assert.throws`. */
export const failsWith =
  (code: ErrorName) =>
  (error: unknown): true => {
    assert.ok(isDomainError(error), String(error));
    assert.equal(error.code, code, error.message);
    return true;
  };

export async function* counted(count: number, size: number): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < count; i++) yield Buffer.alloc(size, i);
}

export function connect(url: string, options: Omit<LaneTransportOptions, 'baseUrl'> = {}): LaneTransport {
  return createLaneTransport({ ...options, baseUrl: url });
}

/** A gRPC frame. It may lie about its length. */
export function frame(message: Uint8Array, flag = 0, length = message.length): Buffer {
  const header = Buffer.alloc(5);
  header[0] = flag;
  header.writeUInt32BE(length, 1);
  return Buffer.concat([header, message]);
}
