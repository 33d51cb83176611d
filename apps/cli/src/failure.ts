/**
 * How a failure ends the program: its text and its exit code (0 ok, 1 failed, 2 usage, 3 unavailable, 4 denied). A failure of
 * the cluster prints its code, the leader hint if there is one, and what to try.
 */
import { errorCatalogue, isDomainError } from '@fleetmq/shared';
import { UsageError } from './parse.ts';

export const exitCode = { ok: 0, failed: 1, usage: 2, unavailable: 3, denied: 4 } as const;

/** The question was answered, and the answer is that something is wrong: exit code 1. */
export class Unhealthy extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'Unhealthy';
  }
}

export interface Failure {
  readonly exitCode: number;
  readonly code: string;
  readonly message: string;
  readonly leaderHint: string | undefined;
  readonly advice: string | undefined;
}

export function describeFailure(error: unknown): Failure {
  if (error instanceof UsageError) {
    const advice = 'fleetmq --help, or --help behind the command';
    return { exitCode: exitCode.usage, code: 'USAGE', message: error.message, leaderHint: undefined, advice };
  }
  if (error instanceof Unhealthy) {
    const advice = 'fleetmq cluster describe';
    return { exitCode: exitCode.failed, code: 'UNHEALTHY', message: error.message, leaderHint: undefined, advice };
  }
  if (isDomainError(error)) {
    const { code, message, leaderHint } = error;
    return { exitCode: exitCodeOf(error.code), code, message, leaderHint, advice: adviceOf(error.code) };
  }
  const errno = (error as NodeJS.ErrnoException | undefined)?.code;
  const message = error instanceof Error ? error.message : String(error);
  if (errno === 'ENOENT' || errno === 'EACCES' || errno === 'EISDIR') {
    return { exitCode: exitCode.failed, code: errno, message, leaderHint: undefined, advice: 'another file' };
  }
  const told = error instanceof Error && error.stack !== undefined ? error.stack : message;
  return { exitCode: exitCode.failed, code: 'UNKNOWN_ERROR', message: told, leaderHint: undefined, advice: undefined };
}

function exitCodeOf(code: keyof typeof errorCatalogue): number {
  const { status } = errorCatalogue[code];
  if (status === 'permission_denied' || status === 'unauthenticated') return exitCode.denied;
  if (status === 'unavailable' || status === 'deadline_exceeded' || status === 'aborted') return exitCode.unavailable;
  return code === 'INVALID_CONFIG' ? exitCode.usage : exitCode.failed;
}

function adviceOf(code: keyof typeof errorCatalogue): string {
  if (code === 'NOT_AVAILABLE') return 'fleetmq dev to start a fleet here, or --url to name another gateway';
  if (code === 'TOPIC_NOT_FOUND') return 'fleetmq topic list, or fleetmq topic create';
  return errorCatalogue[code].advice;
}

/** As text for people, or as one JSON line. */
export function formatFailure(failure: Failure, asJson: boolean): string {
  const { code, message, leaderHint, advice } = failure;
  if (asJson) return `${JSON.stringify({ error: { code, message, leaderHint, advice } })}\n`;
  const lines = [`error ${code}: ${message}`];
  if (leaderHint !== undefined) lines.push(`  leader: ${leaderHint}`);
  if (advice !== undefined) lines.push(`  try: ${advice}`);
  return `${lines.join('\n')}\n`;
}
