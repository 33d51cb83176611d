/**
 * One client: it does one thing at a time, through whatever caller it is given, and notes what it calls and is told. Its
 * connections and its values are its own.
 */
import { isDomainError } from '@fleetmq/shared';
import type { RpcPool } from '@fleetmq/shared/runtime';
import { type Caller, createClientPool } from './callers.ts';
import { outcomeOf } from './certainty.ts';
import { type InputOf, type Kind, type OutputOf, operationTypes } from './operations.ts';
import type { Recorder } from './recorder.ts';
import type { TopicNames } from './topic-names.ts';

export interface LoadClientOptions {
  /** Its number in the history. */
  readonly process: number;
  readonly timeoutMs: number;
  readonly recorder: Recorder;
  readonly names: TopicNames;
  /** Something that no server should answer. */
  readonly onBug: (text: string) => void;
}

export class LoadClient implements AsyncDisposable {
  readonly pool: RpcPool = createClientPool();
  readonly #options: LoadClientOptions;
  #values = 0;

  constructor(options: LoadClientOptions) {
    this.#options = options;
  }

  get process(): number {
    return this.#options.process;
  }

  /** Milliseconds that nobody else sets. */
  value(): string {
    return String(1_000_000_000 + this.process * 10_000_000 + this.#values++);
  }

  /** The answer, noted; undefined: there was none. */
  async perform<K extends Kind>(caller: Caller, kind: K, input: InputOf<K>): Promise<OutputOf<K> | undefined> {
    const { recorder, timeoutMs, names, onBug } = this.#options;
    const type = operationTypes[kind];
    const common = { process: this.process, kind };
    recorder.note({ ...common, type: 'invoke', input });
    try {
      const output = await type.call(caller, input, { timeoutMs });
      recorder.note({ ...common, type: 'ok', output });
      return output;
    } catch (error) {
      if (!isDomainError(error)) throw error;
      const { code, message } = error;
      if (code === 'UNKNOWN_ERROR') onBug(`${kind} was answered with ${code}: ${message}`);
      if (type.refusals.includes(code) && !error.outcomeUnknown) {
        recorder.note({ ...common, type: 'ok', output: { refused: code } });
        return { refused: code } as never;
      }
      const outcome = type.isRead === true ? 'fail' : type.unknown?.includes(code) === true ? 'info' : outcomeOf(error);
      recorder.note({ ...common, type: outcome, error: `${code}: ${message}` });
      if (outcome === 'info' && 'name' in input) names.noteUnknown(input.name);
      return undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pool.close();
  }
}
