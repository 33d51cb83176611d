/**
 * Where a transcript's output comes together: what commands print, and the log lines of all nodes, in the order in which
 * they happen. Below the chosen level log lines are left out; at level `none` everything is, but for errors of commands.
 */
import type { RaftLogger } from '../logger.ts';

export const logLevels = ['DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL', 'NONE'] as const;
export type LogLevel = (typeof logLevels)[number];

export class Output {
  level: LogLevel = 'DEBUG';
  #text = '';

  readonly logger: RaftLogger = {
    debug: (line) => this.#log('DEBUG', line),
    info: (line) => this.#log('INFO', line),
    warn: (line) => this.#log('WARN', line),
    error: (line) => this.#log('ERROR', line),
  };

  get isQuiet(): boolean {
    return this.level === 'NONE';
  }

  write(text: string): void {
    if (!this.isQuiet) this.#text += text;
  }

  /** What was written since the last call. */
  take(): string {
    const text = this.#text;
    this.#text = '';
    return text;
  }

  /** Everything that `work` writes is indented by two blanks, and ends with a line end. */
  indented<Result>(work: () => Result): Result {
    const before = this.take();
    try {
      return work();
    } finally {
      const lines = this.take().split('\n');
      if (lines[lines.length - 1] === '') lines.pop();
      this.#text = before + lines.map((line) => `  ${line}\n`).join('');
    }
  }

  #log(level: LogLevel, line: string): void {
    if (logLevels.indexOf(level) >= logLevels.indexOf(this.level)) this.write(`${level} ${line}\n`);
  }
}
