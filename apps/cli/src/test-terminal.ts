/** A Terminal in memory, for tests: what goes in is given, what comes out is text. */
import { Readable, Writable } from 'node:stream';
import type { Terminal } from './terminal.ts';

export interface TestTerminal extends Terminal {
  readonly out: () => string;
  readonly err: () => string;
  readonly interrupt: () => void;
}

export function testTerminal(options: { stdin?: string | Readable; env?: Record<string, string> } = {}): TestTerminal {
  const { stdin = '', env = {} } = options;
  const interrupt = new AbortController();
  const output = { out: '', err: '' };
  const sink = (name: 'out' | 'err'): Writable =>
    new Writable({
      write(chunk, _encoding, done) {
        output[name] += String(chunk);
        done();
      },
    });
  return {
    stdin: typeof stdin === 'string' ? Readable.from(stdin === '' ? [] : [Buffer.from(stdin)]) : stdin,
    stdout: sink('out'),
    stderr: sink('err'),
    env,
    isInteractive: false,
    isErrorTerminal: false,
    hasColour: false,
    interrupted: interrupt.signal,
    out: () => output.out,
    err: () => output.err,
    interrupt: () => interrupt.abort('SIGINT'),
  };
}
