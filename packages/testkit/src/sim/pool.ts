/**
 * Tasks on several threads at once. Each task is as deterministic as it is alone; which one is done first is not. One worker
 * means this thread, where every event can be printed.
 */
import { Worker } from 'node:worker_threads';
import { type Done, perform, type Task } from './tasks.ts';

export interface PoolOptions {
  readonly workers: number;
  /** Called after each task. False: no further one is begun. */
  readonly onDone: (done: Done) => boolean;
  readonly print?: ((line: string) => void) | undefined;
}

/** Resolves when all that was begun is done. Rejects when a task threw. */
export async function performAll(tasks: Iterable<Task>, options: PoolOptions): Promise<void> {
  const { workers, onDone, print } = options;
  const queue = tasks[Symbol.iterator]();
  let isOver = false;
  const work = async (one: (task: Task) => Promise<Done>): Promise<void> => {
    for (let next = queue.next(); next.done !== true && !isOver; next = queue.next()) {
      const done = await one(next.value);
      if (!onDone(done)) isOver = true;
    }
  };
  if (workers === 1) {
    await work((task) => perform(task, print));
    return;
  }
  const threads = Array.from({ length: workers }, () => new Thread());
  try {
    await Promise.all(threads.map((thread) => work((task) => thread.perform(task))));
  } finally {
    await Promise.all(threads.map((thread) => thread.stop()));
  }
}

class Thread {
  readonly #worker = new Worker(new URL('./worker.ts', import.meta.url));

  perform(task: Task): Promise<Done> {
    return new Promise((resolve, reject) => {
      const onExit = (code: number): void => reject(new Error(`a worker ended with code ${code}`));
      this.#worker.once('error', reject);
      this.#worker.once('exit', onExit);
      this.#worker.once('message', (done: Done) => {
        this.#worker.off('error', reject);
        this.#worker.off('exit', onExit);
        resolve(done);
      });
      this.#worker.postMessage(task);
    });
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }
}
