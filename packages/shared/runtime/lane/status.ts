/**
 * How a call's end travels in gRPC: `grpc-status`, the percent-encoded `grpc-message`, and in `grpc-status-details-bin` a
 * google.rpc.Status with a rustmq.common.ErrorResponse as its only detail. Writes these headers for a DomainError and makes
 * a DomainError of what a peer sent, whichever of them it sent.
 *
 * google.rpc.Status {int32 code = 1; string message = 2; repeated google.protobuf.Any details = 3} and Any {type_url = 1;
 * value = 2} are written and read with the small wire reader: they are two fields deep, and no generated class is exported.
 * Never trusts a peer's text: a broken encoding costs the text or the detail, not the call.
 * Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md ("Responses", "Status-Message").
 */
import type { IncomingHttpHeaders } from 'node:http2';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { type ErrorResponse, ErrorResponseSchema } from '@fleetmq/gen/common/errors';
import {
  boundText,
  DomainError,
  errorNameOfStatus,
  fromErrorResponse,
  statusOf,
  WireReader,
  WireWriter,
  wireBytes,
} from '@fleetmq/shared';
import { toErrorResponse } from '../rpc-errors.ts';

const typeUrl = `type.googleapis.com/${ErrorResponseSchema.typeName}`;

/** Percent-encodes everything but printable ASCII, and the percent sign itself. */
export function encodeStatusMessage(text: string): string {
  let encoded = '';
  for (const byte of new TextEncoder().encode(text)) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return encoded;
}

/** Decodes what `encodeStatusMessage` wrote; a text with broken escapes is returned as it came. */
export function decodeStatusMessage(encoded: string): string {
  try {
    return decodeURIComponent(encoded);
  } catch {
    return encoded;
  }
}

/** The trailers that end a call with this error; each value is safe in a header. */
export function errorTrailers(error: DomainError): Record<string, string> {
  const status = statusOf(error.code);
  const message = boundText(error.message);
  const any = new WireWriter()
    .bytesField(1, new TextEncoder().encode(typeUrl))
    .bytesField(2, toBinary(ErrorResponseSchema, toErrorResponse(error)));
  const details = new WireWriter()
    .varintField(1, status)
    .bytesField(2, new TextEncoder().encode(message))
    .bytesField(3, any.finish());
  return {
    'grpc-status': String(status),
    'grpc-message': encodeStatusMessage(message),
    'grpc-status-details-bin': Buffer.from(details.finish()).toString('base64').replace(/=+$/, ''),
  };
}

/** Undefined for status 0; else the error. `headers` must contain `grpc-status`. */
export function errorOfTrailers(headers: IncomingHttpHeaders): DomainError | undefined {
  const status = headers['grpc-status'];
  if (status === '0') return undefined;
  const response = findErrorResponse(headers['grpc-status-details-bin']);
  if (response !== undefined) return fromErrorResponse(response);
  const code = typeof status === 'string' && /^\d{1,3}$/.test(status) ? Number(status) : 2;
  const text = headers['grpc-message'];
  const message =
    typeof text === 'string' && text !== '' ? decodeStatusMessage(text) : `the peer answered status ${status}`;
  return new DomainError(errorNameOfStatus(code), message);
}

function findErrorResponse(header: string | string[] | undefined): ErrorResponse | undefined {
  if (typeof header !== 'string') return undefined;
  try {
    return readDetail(Buffer.from(header, 'base64'));
  } catch {
    return undefined; // The plain grpc-status of the same trailers is used instead.
  }
}

function readDetail(status: Uint8Array): ErrorResponse | undefined {
  const reader = new WireReader(status);
  while (!reader.done) {
    const tag = reader.varint();
    if (tag === 3 * 8 + wireBytes) {
      const response = readAny(reader.view());
      if (response !== undefined) return response;
    } else {
      reader.skip(tag % 8);
    }
  }
  return undefined;
}

function readAny(any: Uint8Array): ErrorResponse | undefined {
  const reader = new WireReader(any);
  let url = '';
  let value: Uint8Array | undefined;
  while (!reader.done) {
    const tag = reader.varint();
    if (tag === 8 + wireBytes) url = new TextDecoder().decode(reader.view());
    else if (tag === 2 * 8 + wireBytes) value = reader.view();
    else reader.skip(tag % 8);
  }
  if (!url.endsWith(`/${ErrorResponseSchema.typeName}`) || value === undefined) return undefined;
  return fromBinary(ErrorResponseSchema, value);
}

const statusOfHttp: ReadonlyMap<number, number> = new Map([
  [400, 13],
  [401, 16],
  [403, 7],
  [404, 12],
  [413, 8],
  [429, 14],
  [502, 14],
  [503, 14],
  [504, 14],
]);

/** For a peer that answered plain HTTP: https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md */
export function errorOfHttpStatus(status: number): DomainError {
  const code = errorNameOfStatus(statusOfHttp.get(status) ?? 2);
  return new DomainError(code, `the peer answered HTTP ${status}, not gRPC`, { outcomeUnknown: status >= 500 });
}
