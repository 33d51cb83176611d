import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** A TCP connection that can be cut and spliced again. */
export class Cable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #target = 0;
  isCut = false;

  constructor() {
    this.#server = createServer({ noDelay: true }, (near) => {
      if (this.isCut) {
        near.destroy();
        return;
      }
      const far = connect({ port: this.#target, host: '127.0.0.1', noDelay: true });
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(one);
        one.pipe(other);
        one.on('error', () => other.destroy());
        one.on('close', () => {
          this.#sockets.delete(one);
          other.destroy();
        });
      }
    });
  }

  async open(target: number): Promise<number> {
    this.#target = target;
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return (this.#server.address() as AddressInfo).port;
  }

  /** Breaks every connection. */
  break(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Breaks every connection and refuses new ones. */
  cut(): void {
    this.isCut = true;
    this.break();
  }

  close(): void {
    this.break();
    this.#server.close();
  }
}
