/** A bar on a terminal; a line each quarter elsewhere. */
import { say } from './say.ts';

export interface Progress {
  step(): void;
  stop(): void;
}

/** A bar on a terminal; a line each quarter elsewhere. */
export function progress(what: string, total: number): Progress {
  const width = 40;
  let done = 0;
  let drawn = -1;
  return {
    step() {
      done++;
      const parts = process.stdout.isTTY ? width : 4;
      const part = Math.floor((done / total) * parts);
      if (part === drawn) return;
      drawn = part;
      if (process.stdout.isTTY) {
        const bar = `${'#'.repeat(part)}${'.'.repeat(width - part)}`;
        process.stdout.write(`\r         [${bar}] ${what} ${done} of ${total}`);
      } else if (part > 0) say(`${what} ${done} of ${total}`);
    },
    stop() {
      if (process.stdout.isTTY) process.stdout.write('\n');
    },
  };
}
