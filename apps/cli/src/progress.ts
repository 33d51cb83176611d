/** A bar on stderr for work whose size is known, where somebody looks. */
/// <reference path="./cli-progress.d.ts" />
import type { CommonOptions } from './session.ts';
import type { Terminal } from './terminal.ts';

export interface Progress {
  /** `text` stands behind the bar. */
  update(done: number, text: string): void;
  stop(): void;
}

/** `total` undefined: not known, and there is no bar. */
export async function startProgress(
  terminal: Terminal,
  options: Pick<CommonOptions, 'quiet'>,
  total: number | undefined,
): Promise<Progress> {
  if (total === undefined || !terminal.isErrorTerminal || options.quiet === true) {
    return { update: () => undefined, stop: () => undefined };
  }
  const { SingleBar } = (await import('cli-progress')).default;
  const bar = new SingleBar({
    format: '{bar} {percentage}% {text}',
    stream: terminal.stderr as NodeJS.WritableStream,
    clearOnComplete: true,
    hideCursor: true,
    etaBuffer: 100,
  });
  bar.start(total, 0, { text: '' });
  return { update: (done, text) => bar.update(done, { text }), stop: () => bar.stop() };
}
