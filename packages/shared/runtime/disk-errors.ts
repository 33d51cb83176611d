/** Errors of the file system as DomainErrors: a full disk is told from a failing one, the system's error is the cause. */
import { DomainError } from '@fleetmq/shared';

const FULL = new Set(['ENOSPC', 'EDQUOT']);

export function diskError(operation: string, path: string, cause: unknown): DomainError {
  const code = errnoOf(cause);
  const detail = cause instanceof Error ? cause.message : String(cause);
  const text = `cannot ${operation} ${path === '' ? 'the root folder' : path}: ${detail}`;
  return new DomainError(code !== undefined && FULL.has(code) ? 'DISK_FULL' : 'STORAGE_FAILED', text, { cause });
}

/** `ENOENT` and its like, when the error has one. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
