/**
 * What the server's lane allows a call, and the two hooks around it: the gate in front, the observer behind. Connect's half
 * of a listener obeys the same limits where they apply and runs the same hooks.
 */
import type { DescMethod } from '@bufbuild/protobuf';
import type { ErrorName } from '@fleetmq/shared';
import type { RawContext } from './raw.ts';

export interface LaneLimits {
  /** Largest request message, in bytes. Default 4 MiB. */
  readonly readMaxBytes: number;
  /** Largest response message, in bytes. Default 4 MiB. */
  readonly writeMaxBytes: number;
  /** Bytes of request messages that may wait for a handler before its stream is paused. Default 8 MiB. */
  readonly receiveBufferBytes: number;
  /** Deadline of a unary call that names none. Default 30 s. */
  readonly defaultTimeoutMs: number;
  /** A unary call that asks for more gets this. Default 10 min. Streams have the deadline they name, or none. */
  readonly maxTimeoutMs: number;
  /** A call with one request message must have sent it by then. Default 30 s. */
  readonly requestTimeoutMs: number;
  /** A caller that takes nothing for so long loses its stream. Default 5 min. */
  readonly stallMs: number;
  /** After the status is decided, the last bytes must leave by then. Default 30 s. */
  readonly flushMs: number;
}

/** What a gate may know of a call: it runs after the headers and before the request is handed to the handler. */
export type GateCall = Pick<RawContext, 'method' | 'header' | 'connection' | 'values'>;
/** Throws a DomainError to refuse the call; may set `values` for the handler. */
export type Gate = (call: GateCall) => void | Promise<void>;

export interface CallObservation {
  readonly method: DescMethod;
  readonly code: ErrorName | 'OK';
  readonly durationMs: number;
}
