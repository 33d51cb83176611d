/** Notes what clients call and are told, in memory and, line by line, in a file. One clock for all: `performance.now()`. */

import { once } from 'node:events';
import * as fs from 'node:fs';
import { formatEvent, type HistoryEvent, type Operation, operationsOf } from '../check/history.ts';

export class Recorder implements AsyncDisposable {
  readonly #events: HistoryEvent[] = [];
  readonly #file: fs.WriteStream;

  /** `path` is written anew. */
  constructor(path: string) {
    this.#file = fs.createWriteStream(path);
  }

  note(event: Omit<HistoryEvent, 'timeMs'>): void {
    const { type, process, ...rest } = event;
    const whole = { type, process, timeMs: performance.now(), ...rest };
    this.#events.push(whole);
    this.#file.write(`${formatEvent(whole)}\n`);
  }

  /** By the moment of their call. */
  operations(): readonly Operation[] {
    return operationsOf(this.#events);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#file.end();
    await once(this.#file, 'close');
  }
}
