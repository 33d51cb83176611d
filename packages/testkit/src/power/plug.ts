/**
 * Pulls the plug of machines: their processes stop, and their disks are cut off by the shutdown ioctl of ext4 without flushing its
 * journal (EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH, fs/ext4/ext4.h). From that moment on nothing more reaches the image
 * and every access is EIO; what was not synced is gone after the next mount.
 *
 * The processes stop first, by microseconds: a write or sync that is under way during the ioctl may be told that it has
 * succeeded although it is lost (Linux 6.18, fdatasync and O_DSYNC alike), which after a power loss nobody is there to hear. Node has no
 * ioctl, so a process of python3 waits with it ready.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { DomainError } from '@fleetmq/shared';

const program = `
import fcntl, json, os, signal, struct, sys
print("ready", flush=True)
for line in sys.stdin:
    try:
        target = json.loads(line)
        files = [os.open(folder, os.O_RDONLY) for folder in target["folders"]]
        for pid in target["pids"]:
            os.kill(pid, signal.SIGSTOP)
        for file in files:
            fcntl.ioctl(file, 0x8004587D, struct.pack("I", 2))
        for file in files:
            os.close(file)
        print("done", flush=True)
    except OSError as error:
        print(error, flush=True)
`;

export interface PlugTarget {
  /** That ext4 is mounted on. */
  readonly folders: readonly string[];
  /** Processes that use them: they are left stopped. */
  readonly pids: readonly number[];
}

export class Plug implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(child: ChildProcess, lines: AsyncIterator<string>) {
    this.#child = child;
    this.#lines = lines;
  }

  /** Ends with its stdin, so with this process, too. */
  static async start(): Promise<Plug> {
    const child = spawn('python3', ['-c', program], { stdio: ['pipe', 'pipe', 'inherit'] });
    child.on('error', () => undefined); // Its stdout ends then.
    child.stdin.on('error', () => undefined);
    const plug = new Plug(child, createInterface({ input: child.stdout })[Symbol.asyncIterator]());
    await plug.#expect('ready');
    return plug;
  }

  /** Resolves when all are cut off. */
  async pull(target: PlugTarget): Promise<void> {
    this.#child.stdin?.write(`${JSON.stringify(target)}\n`);
    await this.#expect('done');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.pid === undefined) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }

  async #expect(word: string): Promise<void> {
    const { value, done } = await this.#lines.next();
    if (value !== word) {
      throw new DomainError(
        'UNKNOWN_ERROR',
        `the plug cannot be pulled: ${done === true ? 'python3 has ended' : value}`,
      );
    }
  }
}
