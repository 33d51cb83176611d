/**
 * Where the status of an answer comes from: the trailers; the headers, when nothing comes behind them ("Trailers-Only"); the
 * status of HTTP, when the peer does not speak gRPC. Trailers win, as gRPC wants it.
 * Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md ("Responses").
 */
import { constants, type IncomingHttpHeaders } from 'node:http2';
import { DomainError, type DomainErrorOptions } from '@fleetmq/shared';
import { errorOfHttpStatus, errorOfTrailers } from './status.ts';

/** How an answer ends; without an error: OK. */
export interface Status {
  readonly error: DomainError | undefined;
}

export class AnswerStatus {
  #inTrailers: Status | undefined;
  #inHeaders: Status | undefined;
  #ofHttp: Status | undefined;

  /** Undefined as long as there is none. */
  get current(): Status | undefined {
    return this.#inTrailers ?? this.#inHeaders ?? this.#ofHttp;
  }

  /** Throws for an answer that is none of gRPC and looks like a good one. */
  takeHeaders(headers: IncomingHttpHeaders): void {
    const httpStatus = Number(headers[':status']);
    const type = headers['content-type'] ?? '';
    if (headers['grpc-status'] !== undefined) this.#inHeaders = { error: errorOfTrailers(headers) };
    else if (httpStatus !== 200) this.#ofHttp = { error: errorOfHttpStatus(httpStatus) };
    else if (!type.startsWith('application/grpc')) {
      const text = `the peer answered content type "${type}", not gRPC`;
      throw new DomainError('NOT_AVAILABLE', text, { outcomeUnknown: true });
    }
  }

  /** A body has begun: a status in the headers before it means nothing. */
  takeData(): void {
    this.#inHeaders = undefined;
  }

  takeTrailers(trailers: IncomingHttpHeaders): void {
    if (trailers['grpc-status'] !== undefined) this.#inTrailers = { error: errorOfTrailers(trailers) };
  }
}

/** What cannot be read is the peer's fault and not the caller's, and says nothing of what the peer has done. */
export function errorOfAnswer(error: DomainError): DomainError {
  if (error.outcomeUnknown) return error;
  const code = error.code === 'INVALID_REQUEST' ? 'NOT_AVAILABLE' : error.code;
  return new DomainError(code, `the answer cannot be read: ${error.message}`, { outcomeUnknown: true, cause: error });
}

/** For a stream that was reset, or lost with its connection. What gRPC calls INTERNAL or CANCELLED is worth another node here. */
export function errorOfReset(rstCode: number, call: string, text: string, options: DomainErrorOptions): DomainError {
  switch (rstCode) {
    case constants.NGHTTP2_ENHANCE_YOUR_CALM:
      return new DomainError('LIMIT_EXCEEDED', `${call}the peer asks to slow down`, options);
    case constants.NGHTTP2_INADEQUATE_SECURITY:
      return new DomainError('UNAUTHORIZED', `${call}the peer asks for a safer connection`, options);
    default:
      return new DomainError('NOT_AVAILABLE', `${call}${text}`, options);
  }
}
