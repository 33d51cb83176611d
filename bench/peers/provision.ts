/**
 * What the peers need, got on first use: servers as Debian packages where there is apt-get and the right to use it, a newer
 * nats-server as a Go module where there is Go, Kafka's jars from Maven Central where there is a JDK, clients from npm by lock
 * file. What is not a Debian package goes to a cache folder outside the repository; nothing of it is a dependency of the product
 * or of this workspace. What cannot be had here is NotAvailable with the reason, and its peer is skipped.
 */
import { execFile } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { say } from '../say.ts';
import { NotAvailable } from '../targets/target.ts';

const run = promisify(execFile);
const here = fileURLToPath(new URL('.', import.meta.url));
const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'fleetmq-bench');
const minutes = 60_000;

const natsVersion = '2.15.3';

/** What the program prints, on either stream; NotAvailable when there is no such program, or it fails. */
export async function ask(program: string, parameters: readonly string[]): Promise<string> {
  try {
    const { stdout, stderr } = await run(program, [...parameters], { timeout: minutes });
    return `${stdout}${stderr}`;
  } catch (error) {
    throw new NotAvailable(reasonOf(program, error));
  }
}

/** A folder with the node_modules of `bench/peers/NAME`; native parts are built for this Node. */
export async function npmModules(name: 'clients' | 'confluent'): Promise<string> {
  const folder = join(cache, name);
  const own = join(here, name);
  const wanted = readFileSync(join(own, 'package-lock.json'), 'utf8') + process.version;
  const stamp = join(folder, '.installed');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return folder;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const file of ['package.json', 'package-lock.json']) copyFileSync(join(own, file), join(folder, file));
  await provide('npm', ['ci', '--no-audit', '--no-fund'], folder, name === 'confluent' ? await buildSettings() : {});
  // Built it may be, and still not for this Node, or against a library that is not there.
  for (const module of Object.keys(dependenciesOf(own))) {
    await provide(
      process.execPath,
      ['--input-type=module', '-e', `await import(${JSON.stringify(module)})`],
      folder,
      {},
    );
  }
  writeFileSync(stamp, wanted);
  return folder;
}

function dependenciesOf(folder: string): Readonly<Record<string, string>> {
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    readonly dependencies: Readonly<Record<string, string>>;
  };
  return manifest.dependencies;
}

/** librdkafka is built for this Node, and against what the system has rather than against downloads. */
async function buildSettings(): Promise<Readonly<Record<string, string>>> {
  const PATH = `${dirname(process.execPath)}${delimiter}${process.env['PATH'] ?? ''}`;
  return { PATH, CKJS_LINKING: 'dynamic', npm_config_nodedir: await nodeHeaders() };
}

/** A folder with include/node of this very Node: its own, or that of the npm package which holds the same build. */
async function nodeHeaders(): Promise<string> {
  const installed = join(dirname(process.execPath), '..');
  if (existsSync(join(installed, 'include', 'node', 'node_version.h'))) return installed;
  const name = `node-${process.platform}-${process.arch}`;
  const folder = join(cache, `headers-${process.version}`);
  const headers = join(folder, 'node_modules', name);
  if (existsSync(headers)) return headers;
  const parameters = ['install', '--no-audit', '--no-fund', '--no-save', '--prefix', folder];
  await provide('npm', [...parameters, `${name}@${process.version.slice(1)}`], folder, {});
  return headers;
}

/** What `redis-server --version` prints. */
export function aboutRedis(): Promise<string> {
  return askOrInstall('redis-server');
}

/**
 * A nats-server and what its `--version` prints: built from the Go module, since Debian's is years older and cannot take atomic
 * batches, which would make it look slower than it is; or else whichever is installed, or Debian's.
 */
export async function natsServer(): Promise<{ program: string; about: string }> {
  const folder = join(cache, `nats-${natsVersion}`);
  const program = join(folder, 'nats-server');
  if (!existsSync(program)) {
    try {
      await provide('go', ['install', `github.com/nats-io/nats-server/v2@v${natsVersion}`], folder, { GOBIN: folder });
    } catch (error) {
      say(`nats-server ${natsVersion} is not available: ${(error as Error).message}`);
      return { program: 'nats-server', about: await askOrInstall('nats-server') };
    }
  }
  return { program, about: await ask(program, ['--version']) };
}

/** Asks a server for its version; the Debian package of its name is installed when it is missing. */
async function askOrInstall(server: 'redis-server' | 'nats-server'): Promise<string> {
  try {
    return await ask(server, ['--version']);
  } catch (error) {
    const missing = (error as Error).message;
    if (process.getuid?.() !== 0) throw new NotAvailable(`${missing}, and no right to install it`);
    await install(server, missing);
  }
  return await ask(server, ['--version']);
}

/** Nobody wants the package's own service: the bench starts servers of its own. */
async function install(name: string, why: string): Promise<void> {
  const environment = { DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  try {
    await provide('apt-get', ['update'], cache, environment);
    await provide('apt-get', ['install', '--yes', '--no-install-recommends', name], cache, environment);
  } catch (error) {
    throw new NotAvailable(`${why}; ${(error as Error).message}`);
  }
}

/** Folder of Kafka's jars, of the version that pom.xml names. */
export async function kafkaJars(): Promise<string> {
  const java = await ask('java', ['-version']);
  const javaVersion = Number(/version "(\d+)/.exec(java)?.[1] ?? 0);
  if (javaVersion < 17) throw new NotAvailable(`Kafka needs Java 17, here is ${javaVersion}`);
  const pom = join(here, 'kafka', 'pom.xml');
  const folder = join(cache, `kafka-${kafkaVersion()}`);
  const stamp = join(folder, '.installed');
  if (existsSync(stamp)) return folder;
  const parameters = ['dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${folder}`];
  await provide('mvn', ['-q', '-B', '-f', pom, ...parameters], folder, {});
  writeFileSync(stamp, '');
  return folder;
}

export function kafkaVersion(): string {
  const pom = readFileSync(join(here, 'kafka', 'pom.xml'), 'utf8');
  return /<artifactId>kafka_2.13<\/artifactId>\s*<version>([^<]+)</.exec(pom)?.[1] ?? 'unknown';
}

async function provide(
  program: string,
  parameters: readonly string[],
  cwd: string,
  environment: Readonly<Record<string, string>>,
): Promise<void> {
  say(`${basename(program)} ${parameters.join(' ')} ...`);
  mkdirSync(cwd, { recursive: true });
  try {
    const env = { ...process.env, ...environment };
    await run(program, [...parameters], { cwd, env, timeout: 20 * minutes, maxBuffer: 64 << 20 });
  } catch (error) {
    throw new NotAvailable(reasonOf(program, error));
  }
}

function reasonOf(program: string, error: unknown): string {
  const { code, stderr = '' } = error as { code?: string | number; stderr?: string };
  const name = basename(program);
  if (code === 'ENOENT') return `there is no ${name} here`;
  const [first = `code ${code}`] = stderr.split('\n').filter((line) => /error|not found/i.test(line));
  return `${name} failed: ${first.slice(0, 200)}`;
}
