/** Hand-made histories in short: one millisecond between two events, one partition unless another one is named. */
import type { AssignInput, Exemptions, PollPart, RecordEvent, SendInput } from './events.ts';
import { RecordRecorder } from './recorder.ts';

export const partition = 't/0';

type Records = readonly (readonly [offset: number, value: string])[];

/** Offsets, or how it ended otherwise. */
type Answer = readonly (number | null)[] | 'fail' | 'info' | 'open';

interface SendOptions extends Omit<SendInput, 'sends'> {
  readonly to?: string;
  readonly keys?: readonly string[];
}

export class WrittenHistory {
  readonly events: RecordEvent[] = [];
  readonly #recorder: RecordRecorder;
  #nowMs = 0;

  constructor() {
    this.#recorder = new RecordRecorder({ nowMs: () => this.#nowMs++, write: (event) => this.events.push(event) });
  }

  wait(ms: number): this {
    this.#nowMs += ms;
    return this;
  }

  /** Process 1, or a number in front of the values. */
  send(values: readonly string[], answer: Answer, options: SendOptions & { readonly process?: number } = {}): this {
    this.start(values, options)(answer);
    return this;
  }

  /** Calls now, and answers later. */
  start(
    values: readonly string[],
    options: SendOptions & { readonly process?: number } = {},
  ): (answer: Answer) => void {
    const { to = partition, keys, process = 1, ...rest } = options;
    const sends = [{ partition: to, values, ...(keys !== undefined && { keys }) }];
    const call = this.#recorder.invoke(process, 'send', { sends, ...rest });
    return (answer) => {
      if (answer === 'fail') call.fail('NOT_ENOUGH_REPLICAS: 1 of 2');
      else if (answer === 'info') call.info('TIMEOUT: after 30 s');
      else if (answer !== 'open') call.ok({ offsets: answer });
    };
  }

  poll(process: number, records: Records, { of = partition, rebalanced = [] as readonly string[] } = {}): this {
    const polls = records.length === 0 ? [] : [{ partition: of, records }];
    this.#recorder.invoke(process, 'poll', {}).ok({ polls, ...(rebalanced.length > 0 && { rebalanced }) });
    return this;
  }

  assign(process: number, input: Omit<AssignInput, 'partitions'> = {}): this {
    this.#recorder.invoke(process, 'assign', { partitions: [partition], ...input }).ok({});
    return this;
  }

  subscribe(process: number): this {
    this.#recorder.invoke(process, 'subscribe', { topics: ['t'] }).ok({});
    return this;
  }

  /** `offsets` of what it sends; without them it fails. */
  txn(
    process: number,
    sends: SendInput['sends'],
    outcome: { offsets: readonly number[]; polls: readonly PollPart[] } | 'fail',
  ): this {
    const call = this.#recorder.invoke(process, 'txn', { sends });
    if (outcome === 'fail') call.fail('TRANSACTION_ABORTED');
    else call.ok(outcome);
    return this;
  }

  healed(): this {
    this.#recorder.healed();
    return this;
  }

  exempt(exemptions: Exemptions): this {
    this.#recorder.exempt(exemptions);
    return this;
  }
}
