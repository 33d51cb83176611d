/** Notes what clients of records call and are told. Where the lines go, a file or memory, is the caller's. */
import type { Exemptions, RecordCalls, RecordEvent, RecordKind } from './events.ts';

export interface RecorderOptions {
  /** One monotonic clock for all processes. */
  readonly nowMs: () => number;
  /** Called in the order in which things happen. */
  readonly write: (event: RecordEvent) => void;
}

/** An operation under way; exactly one of these is called, or none when nobody learns the outcome. */
export interface RecordedCall<Kind extends RecordKind> {
  ok(output: RecordCalls[Kind]['output']): void;
  /** Certainly not done. `error` begins with its code. */
  fail(error: string): void;
  /** Nobody knows. */
  info(error: string): void;
}

export class RecordRecorder {
  readonly #options: RecorderOptions;
  #id = 0;

  constructor(options: RecorderOptions) {
    this.#options = options;
  }

  /** Before the client is called. */
  invoke<Kind extends RecordKind>(process: number, kind: Kind, input: RecordCalls[Kind]['input']): RecordedCall<Kind> {
    const id = this.#id++;
    const note = (event: object): void => this.#write({ process, kind, id, ...event });
    note({ type: 'invoke', input });
    return {
      ok: (output) => note({ type: 'ok', output }),
      fail: (error) => note({ type: 'fail', error }),
      info: (error) => note({ type: 'info', error }),
    };
  }

  /** All faults are over. */
  healed(): void {
    this.#write({ process: 0, kind: 'healed', type: 'info' });
  }

  exempt(input: Exemptions): void {
    this.#write({ process: 0, kind: 'exempt', type: 'info', input });
  }

  #write(event: object): void {
    const { nowMs, write } = this.#options;
    write({ timeMs: nowMs(), ...event } as RecordEvent);
  }
}
