/**
 * The Logger port on pino: one JSON object a line, to stderr, so that stdout stays free for what a program prints.
 * Writing is synchronous: what was logged before a crash is there after it. That is affordable because data paths log
 * nothing per request. Errors are printed with their code and their chain of causes; secrets are cut by name.
 */
import type { Logger } from '@fleetmq/shared';
import pino from 'pino';

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

export interface LoggerOptions {
  /** Default `info`. */
  readonly level?: LogLevel;
  /** On every line, such as `{ service: 'broker', node: 1 }`. */
  readonly fields?: Record<string, unknown>;
  /** Where lines go; default is stderr. */
  readonly destination?: { write(line: string): void };
}

/** A logger whose level can change while it runs; its children follow. */
export interface LeveledLogger extends Logger {
  level: LogLevel;
  child(fields: Record<string, unknown>): LeveledLogger;
}

const CAUSES_MAX = 8;
const SECRETS = [
  'password',
  'secret',
  'token',
  'authorization',
  'authData',
  'saltedPassword',
  'storedKey',
  'serverKey',
];

export function createLogger(options: LoggerOptions = {}): LeveledLogger {
  const root = pino(
    {
      // The root lets everything through; `shared.level` decides, so that children follow a change at once.
      level: 'debug',
      base: options.fields ?? {},
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      messageKey: 'message',
      depthLimit: 2 * CAUSES_MAX,
      serializers: { error: describeError, reason: describeError },
      redact: { paths: SECRETS.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), censor: '[secret]' },
    },
    options.destination ?? pino.destination({ fd: 2, sync: true }),
  );
  return new PinoLogger(root, { level: options.level ?? 'info' });
}

class PinoLogger implements LeveledLogger {
  readonly #pino: pino.Logger;
  readonly #shared: { level: LogLevel };

  constructor(target: pino.Logger, shared: { level: LogLevel }) {
    this.#pino = target;
    this.#shared = shared;
  }

  get level(): LogLevel {
    return this.#shared.level;
  }

  set level(level: LogLevel) {
    this.#shared.level = level;
  }

  debug(fields: Record<string, unknown>, message: string): void {
    if (this.#isOn('debug')) this.#pino.debug(fields, message);
  }

  info(fields: Record<string, unknown>, message: string): void {
    if (this.#isOn('info')) this.#pino.info(fields, message);
  }

  warn(fields: Record<string, unknown>, message: string): void {
    if (this.#isOn('warn')) this.#pino.warn(fields, message);
  }

  error(fields: Record<string, unknown>, message: string): void {
    if (this.#isOn('error')) this.#pino.error(fields, message);
  }

  child(fields: Record<string, unknown>): LeveledLogger {
    return new PinoLogger(this.#pino.child(fields), this.#shared);
  }

  #isOn(level: LogLevel): boolean {
    return logLevels.indexOf(level) >= logLevels.indexOf(this.#shared.level);
  }
}

interface DescribedError {
  readonly name: string;
  readonly message: string;
  readonly code?: unknown;
  readonly stack?: string | undefined;
  readonly cause?: unknown;
}

/** An error as plain data; anything else is itself. Chains of causes are cut after 8. */
export function describeError(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return error;
  const described: DescribedError = {
    name: error.name,
    message: error.message,
    ...('code' in error && { code: error.code }),
    stack: error.stack,
    ...(error.cause !== undefined && depth < CAUSES_MAX && { cause: describeError(error.cause, depth + 1) }),
  };
  return described;
}
