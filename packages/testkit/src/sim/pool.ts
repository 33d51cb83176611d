/**
 * Tasks on several threads at once. Each task is as deterministic as it is alone; which one is done first is not. One worker
 * means this thread, where every event can be printed.
 */
import { Worker } from 'node:worker_threads';
import { type Done, perform, type Task } from './tasks.ts';

/**
 * A run ends in the middle of everything, and some of what waits there is never collected: about 1 MB for each run. A thread
 * that has done so many tasks makes way for a new one, which takes a second.
 */
const tasksPerThread = 250;

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
  #worker = newWorker();
  #tasks = 0;

  async perform(task: Task): Promise<Done> {
    if (this.#tasks++ >= tasksPerThread) {
      await this.#worker.terminate();
      this.#worker = newWorker();
      this.#tasks = 1;
    }
    return await answerOf(this.#worker, task);
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }
}

function newWorker(): Worker {
  return new Worker(new URL('./worker.ts', import.meta.url));
}

function answerOf(worker: Worker, task: Task): Promise<Done> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number): void => reject(new Error(`a worker ended with code ${code}`));
    worker.once('error', reject);
    worker.once('exit', onExit);
    worker.once('message', (done: Done) => {
      worker.off('error', reject);
      worker.off('exit', onExit);
      resolve(done);
    });
    worker.postMessage(task);
  });
}
