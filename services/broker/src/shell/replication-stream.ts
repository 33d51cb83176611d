/**
 * The follower's end of a ReplicateStream: hands each message to the receiver and sends the answers as they become durable.
 * Messages that are not answered yet are bounded in bytes; beyond that the stream is not read. Answers that nobody asked for are
 * one per replica that fails.
 */
import type { BufferPool } from '@fleetmq/shared';
import { decodeReplicate, encodeReplicateAnswer, type ReplicateAnswer } from '../wire/replicate.ts';
import type { ReplicationReceiver } from './follower.ts';
import { Wakeup } from './wakeup.ts';

export interface ReplicationStreamOptions {
  readonly receiver: ReplicationReceiver;
  /** Where long requests lie. */
  readonly buffers: BufferPool;
  /** Unanswered bytes. Default 32 MiB. */
  readonly bytesMax: number;
  readonly signal: AbortSignal;
}

export async function* runReplicationStream(
  requests: AsyncIterable<Uint8Array>,
  { receiver, buffers, bytesMax, signal }: ReplicationStreamOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  const changed = new Wakeup();
  const room = new Wakeup();
  let answers: Uint8Array[] = [];
  let unanswered = 0;
  let bytes = 0;
  let isOver = false;
  const push = (answer: ReplicateAnswer): void => {
    answers.push(encodeReplicateAnswer(answer));
    changed.set();
  };
  const removeStream = receiver.addStream(push);
  const read = async (): Promise<void> => {
    try {
      for await (const request of requests) {
        unanswered++;
        bytes += request.length;
        const onAnswer = (answer: ReplicateAnswer): void => {
          unanswered--;
          bytes -= request.length;
          push(answer);
          room.set();
        };
        receiver.handle(decodeReplicate(request), onAnswer, buffers.leaseOf(request));
        while (bytes > bytesMax && !signal.aborted) await room.wait();
        if (signal.aborted) return;
      }
    } finally {
      isOver = true;
      changed.set();
    }
  };
  const reading = read();
  // A failure of the requests is thrown below, once what came before it is answered.
  reading.catch(() => undefined);
  const onAbort = (): void => {
    room.set();
    changed.set();
  };
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    while (!signal.aborted) {
      const ready = answers;
      answers = [];
      for (const answer of ready) yield answer;
      if (answers.length > 0) continue;
      if (isOver && unanswered === 0) break;
      await changed.wait();
    }
    if (!signal.aborted) await reading;
  } finally {
    removeStream();
    signal.removeEventListener('abort', onAbort);
    isOver = true;
    room.set();
  }
}
