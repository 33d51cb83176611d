/**
 * The `grpc-timeout` header: at most eight digits and a unit, H M S m u n. Reads it exactly, writes it in the finest of
 * the units m, S, M, H that fits. Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md ("Timeout").
 */
import { DomainError } from '@fleetmq/shared';

const unitMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 };
const pattern = /^(\d{1,8})([HMSmun])$/;
/** The longest delay of a timer: what is longer ends there, after 24 days. */
export const timerMsMax = 2 ** 31 - 1;

/** Milliseconds of the header, rounded up, 0 to `timerMsMax`. Refuses anything else with INVALID_REQUEST. */
export function parseTimeout(header: string): number {
  const match = pattern.exec(header);
  if (match === null) throw new DomainError('INVALID_REQUEST', `grpc-timeout "${header}" is not digits and a unit`);
  const ms = Number(match[1]) * (unitMs[match[2] as string] as number);
  return Math.min(timerMsMax, Math.ceil(ms));
}

/** The header for a timeout in milliseconds, never shorter than it. */
export function formatTimeout(timeoutMs: number): string {
  const ms = Math.min(timerMsMax, Math.max(1, Math.ceil(timeoutMs)));
  return ms < 1e8 ? `${ms}m` : `${Math.ceil(ms / 1_000)}S`;
}
