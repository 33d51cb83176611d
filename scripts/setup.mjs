/**
 * Makes the workspace runnable: installs the dependencies when the record of the last install is out of date, and does
 * nothing otherwise. Plain JavaScript for Node 20 and newer, because it runs before anything is installed; it needs npm
 * (which ships with Node) and, on the first run, a package registry. It writes only to `node_modules` folders.
 * Everything else runs on the Node 24 that this install brings along (`nodeBinary`).
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const PNPM = 'pnpm@12.21.0';
const OLDEST_NODE = 20;
const root = fileURLToPath(new URL('..', import.meta.url));
const stampPath = join(root, 'node_modules', '.fleetmq-setup-stamp');

/** The Node 24 of this workspace. */
export const nodeBinary = join(root, 'node_modules', 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node');

/** Where Node keeps compiled programs. */
export const compileCache = join(root, 'node_modules', '.cache', 'compiled');

/** Installs if needed. Ends the process with a message and code 1 when the install fails. */
export async function setUp() {
  const major = Number(process.versions.node.split('.')[0]);
  if (major < OLDEST_NODE) fail(`Node ${OLDEST_NODE} or newer is needed to set up, this is ${process.version}.`);
  const stamp = currentStamp();
  if (existsSync(nodeBinary) && readIfThere(stampPath) === stamp) return;
  process.stderr.write(`Installing dependencies with ${PNPM} (only when they change)...\n`);
  const ending = await install();
  if (ending.error !== undefined) {
    fail(`npx could not be started (${ending.error.message}). It comes with npm: install npm, then try again.`);
  }
  if (ending.code !== 0) fail(explain(ending));
  if (!existsSync(nodeBinary)) fail(`the install ended without ${nodeBinary}. Remove node_modules and try again.`);
  mkdirSync(join(root, 'node_modules'), { recursive: true });
  writeFileSync(stampPath, stamp);
}

/** Resolves with how the install ended, `{ code, signal }` or `{ error }`. Its output goes to stderr as it comes. */
function install() {
  // `--yes` keeps npx from asking; the package runs from npm's own cache, nothing is added to this folder.
  const child = spawn('npx', ['--yes', PNPM, 'install', '--frozen-lockfile'], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: installEnvironment(),
    shell: process.platform === 'win32',
  });
  for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', showLine);
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => child.kill(signal));
  return new Promise((resolve) => {
    child.on('error', (error) => resolve({ error }));
    child.on('close', (code, signal) => resolve({ code, signal }));
  });
}

/**
 * Hides two things that look like trouble and are none: the long failure of the optional zstd addon where there is no
 * compiler (one line says it), and the engines of packages that run on the workspace's Node, not on the one that installs.
 */
function showLine(line) {
  if (/Unsupported engine|zstd-napi install\$/.test(line)) return;
  const addon = /zstd-napi install: ?(.*)/.exec(line);
  if (addon === null) process.stderr.write(`${line}\n`);
  else if (/^(Failed|Done)\b/.test(addon[1])) process.stderr.write(`  ${addonOutcome(addon[1].startsWith('Done'))}\n`);
}

function addonOutcome(built) {
  if (built) return 'optional zstd-napi: built';
  return "optional zstd-napi: not built here (it needs python3 and a C++ compiler); Node's own zstd is used instead";
}

function explain({ code, signal }) {
  const how = signal === null ? `exit code ${code}` : `signal ${signal}`;
  return [
    `the install failed (${how}); its own message is above. The usual causes:`,
    '  - no network, or a proxy that npm does not know: `npm ping` tells',
    '  - a package.json changed without the lock file: run `npx pnpm install`, and commit pnpm-lock.yaml',
    '  - no space or no permission to write below node_modules',
  ].join('\n');
}

/** pnpm asks before it rebuilds node_modules unless it runs unattended; npm's variables of an outer `npm run` would leak in. */
function installEnvironment() {
  const inherited = Object.entries(process.env).filter(([name]) => !/^npm_(package|lifecycle|command)/.test(name));
  return { ...Object.fromEntries(inherited), CI: process.env.CI ?? '1', npm_config_update_notifier: 'false' };
}

function currentStamp() {
  const hash = createHash('sha256').update(`${PNPM} ${process.platform} ${process.arch}\n`);
  for (const file of ['pnpm-lock.yaml', 'pnpm-workspace.yaml', ...manifests()]) {
    hash.update(`${file}\n`).update(readFileSync(join(root, file)));
  }
  return hash.digest('hex');
}

function manifests() {
  const folders = ['.', 'gen', 'bench', 'test', ...['packages', 'services', 'apps'].flatMap(foldersIn)];
  return folders.map((folder) => join(folder, 'package.json')).filter((path) => existsSync(join(root, path)));
}

function foldersIn(parent) {
  const path = join(root, parent);
  if (!existsSync(path)) return [];
  const folders = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return folders.map((entry) => join(parent, entry.name)).sort();
}

function readIfThere(path) {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}

function fail(message) {
  process.stderr.write(`\nsetup: ${message}\n`);
  process.exit(1);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await setUp();
  process.stderr.write('setup: everything is installed\n');
}
