/**
 * Makes the workspace runnable: installs the dependencies when the record of the last install is out of date, and does
 * nothing otherwise. Plain JavaScript for Node 20 and newer, because it runs before anything is installed; it needs npm
 * (which ships with Node) and, on the first run, a package registry. It writes only to `node_modules` folders.
 * Everything else runs on the Node 24 that this install brings along (`nodeBinary`).
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PNPM = 'pnpm@12.21.0';
const OLDEST_NODE = 20;
const root = fileURLToPath(new URL('..', import.meta.url));
const stampPath = join(root, 'node_modules', '.fleetmq-setup-stamp');

/** The Node 24 of this workspace. */
export const nodeBinary = join(root, 'node_modules', 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node');

/** Installs if needed. Returns nothing; ends the process with a message and code 1 when the install fails. */
export function setUp() {
  const major = Number(process.versions.node.split('.')[0]);
  if (major < OLDEST_NODE) fail(`Node ${OLDEST_NODE} or newer is needed to set up, this is ${process.version}.`);
  const stamp = currentStamp();
  if (existsSync(nodeBinary) && readIfThere(stampPath) === stamp) return;
  process.stderr.write(`Installing dependencies with ${PNPM} (when they change, not each time)...\n`);
  // `--yes` keeps npx from asking; the package runs from npm's own cache, nothing is added to this folder.
  const result = spawnSync('npx', ['--yes', PNPM, 'install', '--frozen-lockfile'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
    env: installEnvironment(),
    shell: process.platform === 'win32',
  });
  if (result.error !== undefined) {
    fail(`npx could not be started (${result.error.message}). It comes with npm: install npm, then try again.`);
  }
  if (result.status !== 0) fail(explain(result));
  if (!existsSync(nodeBinary)) fail(`the install ended without ${nodeBinary}. Remove node_modules and try again.`);
  mkdirSync(join(root, 'node_modules'), { recursive: true });
  writeFileSync(stampPath, stamp);
}

function explain({ status, signal }) {
  const how = signal === null ? `exit code ${status}` : `signal ${signal}`;
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
  return { ...Object.fromEntries(inherited), CI: process.env.CI ?? '1' };
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
  setUp();
  process.stderr.write('setup: everything is installed\n');
}
