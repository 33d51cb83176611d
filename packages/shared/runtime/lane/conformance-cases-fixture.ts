/** How a case of the conformance tests is written down: what is sent, what gRPC says must come back, and where Connect differs. */
import { constants } from 'node:http2';
import type { ErrorName } from '@fleetmq/shared';
import { encodeRequest, type Script } from './conformance-service-fixture.ts';
import type { Outcome, Request, Step } from './conformance-wire-fixture.ts';
import { frame } from './lane-fixture.ts';

/** What must hold of an outcome; what is not named is as in a call that ends well, with an answer in gRPC. */
export type Expectation = Partial<Omit<Outcome, 'text'>> & { readonly text?: string | RegExp };

export interface WireCase extends Request {
  readonly name: string;
  readonly expect: Expectation;
  /** Where Connect answers something else that a gRPC client can live with, and why that is so. */
  readonly connect?: { readonly expect: Expectation; readonly why: string };
  /** The handler must be told that its call is over. */
  readonly abortsHandler?: true;
}

/** A request message in its frame. */
export function asking(script: Script | string): Buffer {
  return frame(encodeRequest(typeof script === 'string' ? script : JSON.stringify(script)));
}

/** Steps that send these DATA frames and end the request. */
export function sends(...chunks: readonly Uint8Array[]): Step[] {
  return [...chunks.map((send) => ({ send })), { end: true }];
}

export const cancel: Step = { reset: constants.NGHTTP2_CANCEL };

export function ok(...messages: readonly string[]): Expectation {
  return { messages };
}

/** A call that its handler failed: the ErrorResponse must arrive whoever serves it. */
export function fails(status: number, detail: ErrorName, text: string, messages: readonly string[] = []): Expectation {
  return { status, detail, text, messages };
}

/** A call that the server itself refuses. */
export function refused(status: number, text: RegExp, messages: readonly string[] = []): Expectation {
  return { status, text, messages };
}

/** A call that is over before its request is: the caller is told to stop sending. */
export function early(expect: Expectation): Pick<WireCase, 'expect' | 'connect'> {
  const why = 'Connect answers, and leaves it to the caller to close a request that is still open';
  return { expect: { ...expect, reset: 'NO_ERROR' }, connect: { expect, why } };
}

/** A call whose messages are encoded in a way that the server does not know. */
export function unknownEncoding(encoding: string): Pick<WireCase, 'expect' | 'connect'> {
  const expect = refused(12, new RegExp(`"${encoding}"`));
  const why = 'Connect sends no grpc-accept-encoding when it takes no codec at all';
  return { expect: { ...expect, accepts: 'identity' }, connect: { expect: { ...expect, accepts: '' }, why } };
}

/** A request that gets an answer of HTTP alone. */
export function plain(http: number): Expectation {
  return { http, type: 'none', status: -1 };
}
