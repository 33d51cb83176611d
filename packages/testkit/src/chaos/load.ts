/**
 * The clients of a run: some roam, half of them impatient, so that they have left a leader that does not answer, and found the
 * next, while the others still hang on the old one; one goes through the gateway; and each controller has two that are loyal.
 */
import type { Random } from '@fleetmq/shared';
import { loyalMixes, roam, stayLoyal } from './behaviours.ts';
import { directCaller, followingCaller } from './callers.ts';
import type { Cluster } from './cluster.ts';
import { LoadClient } from './load-client.ts';
import type { Recorder } from './recorder.ts';
import { TopicNames } from './topic-names.ts';

export interface LoadOptions {
  readonly cluster: Cluster;
  readonly recorder: Recorder;
  readonly random: (name: string) => Random;
  /** Something that no server should answer. */
  readonly onBug: (text: string) => void;
}

const roaming = 6;
const pauseMs = 25;
const patienceMs = 3_000;
const impatienceMs = 300;
const readers = 4;

export class Load implements AsyncDisposable {
  readonly #options: LoadOptions;
  readonly #names = new TopicNames();
  readonly #stack = new AsyncDisposableStack();
  readonly #resting = new AbortController();
  #processes = 0;
  #running: Promise<unknown> = Promise.resolve();

  constructor(options: LoadOptions) {
    this.#options = options;
  }

  start(): void {
    const { seats } = this.#options.cluster;
    const behaviours = [
      ...Array.from({ length: roaming }, (_, position) => this.#roam(position % 2 === 0 ? patienceMs : impatienceMs)),
      this.#roamThroughGateway(),
      ...seats.flatMap((seat) => {
        return loyalMixes.map((mix) => stayLoyal({ ...this.#behaviour(impatienceMs), seat, mix }));
      }),
    ];
    this.#running = Promise.all(behaviours);
  }

  /** Begins nothing more; resolves when everything has an answer or has waited long enough. */
  async stop(): Promise<void> {
    this.#resting.abort();
    await this.#running;
  }

  /** Reads every topic that there ever was, and the setting; it must work. Ids by name. */
  async readAll(): Promise<ReadonlyMap<string, string>> {
    const { cluster, random, onBug } = this.#options;
    const found = new Map<string, string>();
    const left = [...this.#names.all];
    const read = async (): Promise<void> => {
      const reader = this.#client(patienceMs);
      const caller = followingCaller(reader.pool, cluster.seats, random(`reader ${reader.process}`));
      for (let name = left.shift(); name !== undefined; name = left.shift()) {
        const topic = await reader.perform(caller, 'describeTopic', { name });
        if (topic === undefined) onBug(`topic ${name} cannot be read after everything was healed`);
        else if ('topicId' in topic) found.set(name, topic.topicId);
      }
      await reader.perform(caller, 'readSetting', {});
    };
    await Promise.all(Array.from({ length: readers }, read));
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await this.#stack.disposeAsync();
  }

  #roam(timeoutMs: number): Promise<void> {
    const common = this.#behaviour(timeoutMs);
    const usual = followingCaller(common.client.pool, common.seats, common.random);
    return roam({ ...common, usual, seesControllers: true, pauseMs });
  }

  #roamThroughGateway(): Promise<void> {
    const common = this.#behaviour(patienceMs);
    const usual = directCaller(common.client.pool, this.#options.cluster.url);
    return roam({ ...common, usual, seesControllers: false, pauseMs });
  }

  #behaviour(timeoutMs: number) {
    const { cluster, random } = this.#options;
    const client = this.#client(timeoutMs);
    const { signal } = this.#resting;
    return { client, names: this.#names, random: random(`client ${client.process}`), seats: cluster.seats, signal };
  }

  #client(timeoutMs: number): LoadClient {
    const { recorder, onBug } = this.#options;
    const process = ++this.#processes;
    return this.#stack.use(new LoadClient({ process, timeoutMs, recorder, names: this.#names, onBug }));
  }
}
