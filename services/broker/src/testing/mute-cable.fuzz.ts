/** A TCP way to a server that can fall silent: connections stay, and new ones are taken, but no byte comes through. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export class MuteCable implements Disposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #target = Promise.withResolvers<number>();
  #isMute = false;

  private constructor() {
    this.#server = createServer({ noDelay: true }, (near) => void this.#join(near));
  }

  /** Listens on `port`; what comes waits until there is a target. */
  static async open(): Promise<MuteCable> {
    const cable = new MuteCable();
    cable.#server.listen(0, '127.0.0.1');
    await once(cable.#server, 'listening');
    return cable;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  leadTo(port: number): void {
    this.#target.resolve(port);
  }

  mute(): void {
    this.#isMute = true;
    for (const socket of this.#sockets) socket.pause();
  }

  unmute(): void {
    this.#isMute = false;
    for (const socket of this.#sockets) socket.resume();
  }

  [Symbol.dispose](): void {
    this.#target.resolve(0);
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  async #join(near: Socket): Promise<void> {
    near.pause();
    const far = connect({ port: await this.#target.promise, host: '127.0.0.1', noDelay: true });
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(one);
      one.on('data', (bytes) => other.write(bytes));
      one.on('error', () => other.destroy());
      one.on('close', () => {
        this.#sockets.delete(one);
        other.destroy();
      });
      if (this.#isMute) one.pause();
      else one.resume();
    }
  }
}
