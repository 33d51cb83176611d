/**
 * Lets long request bodies of one connection leave one after the other. HTTP/2 would mix their frames, so that all of them
 * arrive as late as the last one: whoever keeps some requests under way, to have the peer work on one while the next one
 * comes, would get answers in bursts, with both sides waiting in between.
 *
 * A body that does not get through, because its peer does not read it, holds up the next one for `patienceMs` only.
 */
const patienceMs = 100;
/** A shorter body does not wait: it is a few frames, and its caller may care for latency. */
export const longBodyBytes = 64 * 1024;

export class BodyTurns {
  readonly #waiting: (() => Promise<void>)[] = [];
  #isTaken = false;

  /** `send` begins to send, at once if nobody does, and resolves when the body has left or never will. Must not throw. */
  take(send: () => Promise<void>): void {
    if (this.#isTaken) this.#waiting.push(send);
    else void this.#run(send);
  }

  async #run(first: () => Promise<void>): Promise<void> {
    this.#isTaken = true;
    for (let send: typeof first | undefined = first; send !== undefined; send = this.#waiting.shift()) {
      await withPatience(send());
    }
    this.#isTaken = false;
  }
}

async function withPatience(sent: Promise<void>): Promise<void> {
  const patience = Promise.withResolvers<void>();
  const timer = setTimeout(patience.resolve, patienceMs);
  await Promise.race([sent, patience.promise]);
  clearTimeout(timer);
}
