/** The answer of a unary call: exactly one message, then status OK. Anything else is an error of the peer. */
import { DomainError } from '@fleetmq/shared';
import type { Receiver } from './client-call.ts';
import { FrameReader } from './frames.ts';
import { letGoOfChunk } from './received-memory.ts';

export class UnaryReceiver implements Receiver {
  readonly #reader: FrameReader;
  readonly #answer = Promise.withResolvers<Uint8Array>();
  #message: Uint8Array | undefined;

  constructor(readMaxBytes: number) {
    this.#reader = new FrameReader(readMaxBytes, { letGo: letGoOfChunk });
    this.#answer.promise.catch(() => undefined); // A call that fails before it is sent has nobody waiting.
  }

  get answer(): Promise<Uint8Array> {
    return this.#answer.promise;
  }

  push(chunk: Uint8Array): void {
    this.#reader.push(chunk, (message) => {
      if (this.#message !== undefined) throw badAnswer('the peer answered a unary call twice');
      this.#message = message;
    });
  }

  finish(): void {
    this.#reader.finish();
    if (this.#message === undefined) throw badAnswer('the peer answered a unary call with nothing');
    this.#answer.resolve(this.#message);
  }

  fail(error: DomainError): void {
    this.#answer.reject(error);
  }
}

/** The status that gRPC has for a wrong number of answers (statuscodes.md). */
function badAnswer(text: string): DomainError {
  return new DomainError('UNIMPLEMENTED', text, { outcomeUnknown: true });
}
