/**
 * One place on this machine for a run: names that begin with `fmqN`, a private /24, a temporary folder. There are 16, so
 * that runs do not meet. Everything in a slot can be found by its name alone, whoever made it: processes by their network
 * namespace, mounts by their source or target, loop devices by their file.
 *
 * A slot is always emptied again: at the end; by the reaper (reaper.ts) when the run's process dies in whatever way; and
 * before the next run, should even that not have worked. Whoever empties it holds its lock, an abstract socket, which the
 * kernel takes back when its process ends. Processes outside the slot's namespaces are never touched.
 */
import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as net from 'node:net';
import * as os from 'node:os';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { DomainError } from '@fleetmq/shared';
import { run } from './command.ts';

const slots = 16;
const endsWithinMs = 10_000;

export interface Slot extends AsyncDisposable {
  readonly number: number;
  /** Of all names: `fmq3`. */
  readonly prefix: string;
  /** Goes with the slot. */
  readonly folder: string;
  /** What could not be removed, once it has been disposed of. */
  readonly leftovers: readonly string[];
}

/** The first free slot, emptied. LIMIT_EXCEEDED when all are in use. */
export async function claimSlot(): Promise<Slot> {
  for (let number = 0; number < slots; number++) {
    const lock = await lockSlot(number);
    if (lock === undefined) continue;
    await emptySlot(number);
    const prefix = prefixOf(number);
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), `${prefix}-`));
    const stopReaper = startReaper(number);
    const leftovers: string[] = [];
    let left: Promise<void> | undefined;
    const leave = async (): Promise<void> => {
      await emptySlot(number);
      leftovers.push(...(await leftoversOf({ prefix })));
      stopReaper();
      lock.close();
    };
    const leaveOnce = (): Promise<void> => {
      left ??= leave();
      return left;
    };
    return { number, prefix, folder, leftovers, [Symbol.asyncDispose]: leaveOnce };
  }
  throw new DomainError('LIMIT_EXCEEDED', `${slots} runs with network namespaces are going on, the most there may be`);
}

/** Undefined when another process has it. */
export function lockSlot(number: number): Promise<net.Server | undefined> {
  const server = net.createServer((socket) => socket.destroy());
  return new Promise((resolve) => {
    server.once('error', () => resolve(undefined));
    server.listen(`\0fleetmq-${prefixOf(number)}`, () => resolve(server.unref()));
  });
}

/** Removes everything that has the slot's name. For whoever holds the lock. */
export async function emptySlot(number: number): Promise<void> {
  const prefix = prefixOf(number);
  const namespaces = await namespacesOf(prefix);
  for (const name of namespaces) await endProcesses(name);
  for (const target of mountsOf(prefix)) await run('umount', ['-l', target]);
  await detachLoops(prefix);
  for (const name of namespaces) await run('ip', ['netns', 'delete', name]);
  for (const link of await linksOf(prefix)) await run('ip', ['link', 'delete', link]).catch(() => undefined);
  for (const name of fs.readdirSync(os.tmpdir())) {
    if (name.startsWith(`${prefix}-`)) fs.rmSync(path.join(os.tmpdir(), name), { recursive: true, force: true });
  }
}

/** What there is of a slot. */
export async function leftoversOf({ prefix }: Pick<Slot, 'prefix'>): Promise<readonly string[]> {
  const folders = fs.readdirSync(os.tmpdir()).filter((name) => name.startsWith(`${prefix}-`));
  return [
    ...[...(await namespacesOf(prefix)), ...(await linksOf(prefix))],
    ...[...mountsOf(prefix), ...loopsOf(prefix), ...folders],
  ];
}

function prefixOf(number: number): string {
  return `fmq${number}`;
}

async function namespacesOf(prefix: string): Promise<readonly string[]> {
  const lines = (await run('ip', ['netns', 'list'])).split('\n');
  return lines.map((line) => line.split(' ')[0] as string).filter((name) => name.startsWith(`${prefix}-`));
}

/** The bridge, and the host's ends of the pairs. */
async function linksOf(prefix: string): Promise<readonly string[]> {
  const links = JSON.parse((await run('ip', ['-json', 'link', 'show'])) || '[]') as { readonly ifname: string }[];
  return links.map(({ ifname }) => ifname).filter((name) => name === prefix || name.startsWith(`${prefix}-`));
}

/** Newest first. */
function mountsOf(prefix: string): readonly string[] {
  const mounts = fs.readFileSync('/proc/mounts', 'utf8').trim().split('\n');
  const inside = path.join(os.tmpdir(), `${prefix}-`);
  const own = mounts
    .map((line) => line.split(' ') as [string, string])
    .filter(([source, target]) => source.startsWith(`${prefix}-`) || target.startsWith(inside));
  return own.map(([, target]) => target).reverse();
}

/** `/dev/loop3`: attached to files in the slot's folder. */
function loopsOf(prefix: string): readonly string[] {
  return loopsOn(path.join(os.tmpdir(), `${prefix}-`));
}

/** Loop devices of files whose path begins so. */
export function loopsOn(inside: string): readonly string[] {
  const loops = fs.readdirSync('/sys/block').filter((name) => name.startsWith('loop'));
  return loops.filter((name) => backingFileOf(name).startsWith(inside)).map((name) => `/dev/${name}`);
}

/** Empty when it has none, or is gone by now. */
function backingFileOf(loop: string): string {
  try {
    return fs.readFileSync(`/sys/block/${loop}/loop/backing_file`, 'utf8').trim();
  } catch {
    return '';
  }
}

/** The kernel lets them go by itself once their last user has: so one that is gone meanwhile is no failure. */
async function detachLoops(prefix: string): Promise<void> {
  const deadlineMs = performance.now() + endsWithinMs;
  for (let loops = loopsOf(prefix); loops.length > 0; loops = loopsOf(prefix)) {
    if (performance.now() > deadlineMs) throw new DomainError('TIMEOUT', `${loops.join()} cannot be detached`);
    for (const loop of loops) await run('losetup', ['-d', loop]).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function endProcesses(namespace: string): Promise<void> {
  const deadlineMs = performance.now() + endsWithinMs;
  for (;;) {
    const pids = (await run('ip', ['netns', 'pids', namespace])).split('\n').filter((pid) => pid !== '');
    if (pids.length === 0) return;
    for (const pid of pids) {
      try {
        process.kill(Number(pid), 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
    }
    if (performance.now() > deadlineMs) throw new DomainError('TIMEOUT', `${pids.join()} in ${namespace} do not end`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A process that empties the slot once its stdin ends, which is when this one does. */
function startReaper(number: number): () => void {
  const entryPoint = fileURLToPath(new URL('./reaper.ts', import.meta.url));
  const reaper = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', entryPoint, String(number)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  reaper.on('error', () => undefined); // The next run cleans up then.
  reaper.stdin.on('error', () => undefined);
  reaper.unref();
  return () => {
    reaper.kill('SIGKILL');
  };
}
