/**
 * The life of a service process: configuration, start, wait for a signal, stop, exit code. Every `main.ts` is one call of
 * `runService`. States: starting -> running -> stopping -> ended; a signal while starting goes to stopping at once.
 * - A failed start closes what was open already: that is the service's own AsyncDisposableStack.
 * - SIGTERM or SIGINT stops with a deadline; a second signal ends the process at once. One Ctrl-C may arrive twice, from the
 *   terminal and from npm, so the same signal within 300 ms is one.
 * - An error that nobody caught is a bug: it is logged and the process ends with code 1. Recovery is a tested path.
 * Exit codes: 0 stopped, 1 failed, 2 configuration, 3 port in use, 128 + n ended by the second signal n.
 */
import { constants } from 'node:os';
import { errorCatalogue, isDomainError } from '@fleetmq/shared';
import type { z } from 'zod';
import { configJsonSchema, formatConfig, type LoadedConfig, loadConfig } from './config.ts';
import type { ConfigSchema } from './config-schema.ts';
import { errnoOf } from './disk-errors.ts';
import { createLogger, describeError, type LeveledLogger, type LogLevel } from './logger.ts';

export interface ServiceContext {
  readonly logger: LeveledLogger;
  /** Aborted as soon as the process is asked to stop, also while it starts. */
  readonly stopping: AbortSignal;
  /** Stops the service from within, with exit code 1: for a failure that it cannot go on with. */
  readonly fail: (reason: string, error?: unknown) => void;
}

export interface ServiceDefinition<Schema extends ConfigSchema> {
  /** `broker`, `controller`, `gateway`. */
  readonly name: string;
  readonly schema: Schema;
  /** Resolves when the service is up; disposing it is the graceful stop. */
  readonly start: (config: z.output<Schema>, context: ServiceContext) => Promise<AsyncDisposable>;
  /** Default `info`. */
  readonly logLevel?: (config: z.output<Schema>) => LogLevel;
  /** How long the stop may take. Default 30 s. */
  readonly stopDeadlineMs?: (config: z.output<Schema>) => number;
}

const SAME_SIGNAL_MS = 300;
const LINGER_MS = 2_000;
const EXIT = { failed: 1, config: 2, portInUse: 3 } as const;

/** Runs the service until it is told to stop. Resolves when it has ended; the exit code is set then. */
export async function runService<Schema extends ConfigSchema>(definition: ServiceDefinition<Schema>): Promise<void> {
  const loaded = configure(definition);
  if (loaded === undefined) return;
  const { config } = loaded;
  const logger = createLogger({
    level: definition.logLevel?.(config) ?? 'info',
    fields: { service: definition.name, pid: process.pid },
  });
  const ending = listenForEnding(logger, definition.stopDeadlineMs?.(config) ?? 30_000);
  logger.debug({ config: formatConfig(loaded) }, 'configuration');
  try {
    const service = await definition.start(config, { logger, stopping: ending.stopping, fail: ending.fail });
    await ending.asked;
    await service[Symbol.asyncDispose]();
    logger.info({}, 'stopped');
  } catch (error) {
    if (!ending.stopping.aborted) process.exitCode = reportFailedStart(definition.name, error, logger);
    else if (!isAbort(error, ending.stopping.reason)) {
      process.exitCode = EXIT.failed;
      logger.error({ error }, 'the stop failed');
    }
  }
  ending.ended();
}

/** Undefined when there is nothing to run: the configuration is wrong, or was only to be printed. */
function configure<Schema extends ConfigSchema>(
  definition: ServiceDefinition<Schema>,
): LoadedConfig<z.output<Schema>> | undefined {
  const { file, print, flags } = splitFlags(process.argv.slice(2));
  if (print === 'schema') {
    process.stdout.write(`${JSON.stringify(configJsonSchema(definition.schema), undefined, 2)}\n`);
    return undefined;
  }
  try {
    const loaded = loadConfig({
      schema: definition.schema,
      file: file ?? process.env['FLEETMQ_CONFIG'],
      environment: process.env,
      flags,
      ignoredVariables: ['FLEETMQ_CONFIG'],
    });
    if (print === undefined) return loaded;
    process.stdout.write(`${formatConfig(loaded)}\n`);
  } catch (error) {
    if (!isDomainError(error)) throw error;
    for (const line of error.message.split('\n')) say(definition.name, `configuration: ${line}`);
    process.exitCode = EXIT.config;
  }
  return undefined;
}

/** The three flags that are not settings: `--config=file`, `--print-config`, `--print-config-schema`. */
function splitFlags(flags: readonly string[]): {
  file: string | undefined;
  print: 'values' | 'schema' | undefined;
  flags: string[];
} {
  const file = flags.findLast((flag) => flag.startsWith('--config='))?.slice('--config='.length);
  const print = flags.includes('--print-config-schema')
    ? 'schema'
    : flags.includes('--print-config')
      ? 'values'
      : undefined;
  const rest = flags.filter((flag) => !/^--(config=.*|print-config|print-config-schema)$/s.test(flag));
  return { file, print, flags: rest };
}

interface Ending {
  readonly stopping: AbortSignal;
  /** Resolves when the service is asked to stop. */
  readonly asked: Promise<void>;
  readonly fail: (reason: string, error?: unknown) => void;
  /** To be called when everything has been closed. */
  readonly ended: () => void;
}

/** Installs the handlers of signals and of uncaught errors. */
function listenForEnding(logger: LeveledLogger, deadlineMs: number): Ending {
  const controller = new AbortController();
  const asked = Promise.withResolvers<void>();
  let deadline: NodeJS.Timeout | undefined;
  let first: { signal: string; atMs: number } | undefined;

  const stop = (): void => {
    if (controller.signal.aborted) return;
    deadline = setTimeout(() => {
      logger.error({ deadlineMs, open: process.getActiveResourcesInfo() }, 'the stop took too long: ending without it');
      process.exit(EXIT.failed);
    }, deadlineMs);
    controller.abort(new Error('the service stops'));
    asked.resolve();
  };
  const onSignal = (signal: NodeJS.Signals): void => {
    if (first !== undefined && signal === first.signal && performance.now() - first.atMs < SAME_SIGNAL_MS) return;
    if (first !== undefined) {
      logger.warn({ signal }, 'second signal: ending at once');
      process.exit(128 + constants.signals[signal]);
    }
    first = { signal, atMs: performance.now() };
    logger.info({ signal, deadlineMs }, 'stopping');
    stop();
  };
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
  // Rejections that nobody handles come here, too.
  process.on('uncaughtException', (error) => {
    logger.error({ error }, 'uncaught error: ending');
    process.exit(EXIT.failed);
  });
  return {
    stopping: controller.signal,
    asked: asked.promise,
    fail: (reason, error) => {
      process.exitCode = EXIT.failed;
      logger.error({ error, reason }, 'the service cannot go on');
      stop();
    },
    ended: () => {
      clearTimeout(deadline);
      endSoon(logger);
    },
  };
}

/** The process ends by itself once nothing is open. What was forgotten must not keep it: it is named, then dropped. */
function endSoon(logger: LeveledLogger): void {
  setTimeout(() => {
    logger.warn({ open: process.getActiveResourcesInfo() }, 'something was left open: ending without it');
    process.exit();
  }, LINGER_MS).unref();
}

/** Says in one line why the service did not start, and returns the exit code. */
function reportFailedStart(name: string, error: unknown, logger: LeveledLogger): number {
  const inUse = findInChain(error, (each) => errnoOf(each) === 'EADDRINUSE');
  if (inUse !== undefined) {
    const { address, port } = inUse as { address?: string; port?: number };
    say(
      name,
      `port in use: something listens on ${address ?? 'the address'}:${port ?? '?'} already; stop it or take another port`,
    );
    return EXIT.portInUse;
  }
  if (!isDomainError(error)) {
    say(name, `cannot start: ${error instanceof Error ? error.message : String(error)}`);
    logger.error({ error: describeError(error) }, 'the start failed');
    return EXIT.failed;
  }
  if (error.code !== 'INVALID_CONFIG') {
    say(name, `cannot start: ${error.message} (${error.code}; to go on, ${errorCatalogue[error.code].advice})`);
    return EXIT.failed;
  }
  for (const line of error.message.split('\n')) say(name, `configuration: ${line}`);
  return EXIT.config;
}

function findInChain(error: unknown, matches: (error: unknown) => boolean): unknown {
  let each = error;
  for (let depth = 0; depth < 16 && each !== undefined && each !== null; depth++) {
    if (matches(each)) return each;
    if (each instanceof SuppressedError) {
      return findInChain(each.error, matches) ?? findInChain(each.suppressed, matches);
    }
    each = each instanceof Error ? each.cause : undefined;
  }
  return undefined;
}

/** A start or stop that was cut short by the stop itself, which is no failure. */
function isAbort(error: unknown, reason: unknown): boolean {
  return findInChain(error, (each) => each === reason || isCancellation(each)) !== undefined;
}

function isCancellation(error: unknown): boolean {
  if (isDomainError(error)) return error.code === 'CANCELLED' || error.code === 'SHUTTING_DOWN';
  return error instanceof Error && error.name === 'AbortError';
}

function say(name: string, text: string): void {
  process.stderr.write(`fleetmq ${name}: ${text}\n`);
}
