/**
 * What the command line touches outside of itself: three streams, the environment, signals. Commands get it as an argument, so
 * that tests run them without a process.
 * `write` waits for a slow reader and turns a reader that has left (EPIPE) into `OutputClosed`, which ends the program
 * quietly: `fleetmq consume t | head -1` is no failure.
 */
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';

export interface Terminal {
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Somebody can answer questions. */
  readonly isInteractive: boolean;
  /** Progress and colours make sense on stderr. */
  readonly isErrorTerminal: boolean;
  /** Tables may be coloured. */
  readonly hasColour: boolean;
  /** Aborts when the user wants to stop (SIGINT, SIGTERM, SIGHUP). */
  readonly interrupted: AbortSignal;
}

/** The reader of our output has left. */
class OutputClosed extends Error {
  constructor() {
    super('the output was closed');
    this.name = 'OutputClosed';
  }
}

export async function write(stream: Writable, text: string | Uint8Array): Promise<void> {
  if (stream.destroyed || stream.errored != null) throw new OutputClosed();
  if (stream.write(text)) return;
  try {
    await Promise.race([once(stream, 'drain'), once(stream, 'close').then(() => Promise.reject(new OutputClosed()))]);
  } catch (error) {
    throw isPipeError(error) ? new OutputClosed() : error;
  }
}

export function isPipeError(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return error instanceof OutputClosed || code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED';
}

/** The terminal of this process. */
export function processTerminal(): Terminal {
  const interrupt = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      // Who asks twice does not want to wait.
      if (interrupt.signal.aborted && signal !== 'SIGHUP') process.exit(130);
      interrupt.abort(signal);
    });
  }
  const { stdin, stdout, stderr, env } = process;
  const noColour = env['NO_COLOR'] !== undefined && env['NO_COLOR'] !== '';
  // Without a listener a reader that leaves would end the process with a stack trace.
  stdout.on('error', () => undefined);
  stderr.on('error', () => undefined);
  return {
    stdin,
    stdout,
    stderr,
    env,
    isInteractive: stdin.isTTY === true && stderr.isTTY === true,
    isErrorTerminal: stderr.isTTY === true,
    hasColour: stdout.isTTY === true && !noColour,
    interrupted: interrupt.signal,
  };
}
