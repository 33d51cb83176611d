/**
 * The architecture is Biome's configuration, and a rule that never fires looks like a rule that is kept. Each file of
 * cases/ names the place where it would stand and the one rule that must reject it there (or `nothing`); all are laid out
 * in a scratch copy of the workspace's skeleton and linted in one run with the real configuration.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, globSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const casesFolder = fileURLToPath(new URL('./cases', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'fleetmq-fence-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

interface FenceCase {
  readonly name: string;
  readonly place: string;
  readonly rule: string;
}

interface Diagnostic {
  readonly category: string;
  readonly severity: string;
  readonly location: { readonly path?: string };
}

const cases = readdirSync(casesFolder).map(layOut);
const diagnostics = lint();

describe('the fence', () => {
  for (const { name, place, rule } of cases) {
    const found = diagnostics.filter((each) => each.location.path === place && each.severity === 'error');
    const rules = [...new Set(found.map((each) => each.category))];
    if (rule === 'nothing') {
      test(`${name}: nothing to say`, () => assert.deepEqual(rules, []));
    } else {
      test(`${name}: ${rule}`, () => assert.ok(rules.includes(rule), `${place} was rejected by [${rules.join(', ')}]`));
    }
  }

  test('every case names one rule that exists', () => {
    for (const { name, rule } of cases) assert.match(rule, /^(nothing|plugin|lint\/\w+\/\w+)$/, name);
  });
});

function layOut(file: string): FenceCase {
  const text = readFileSync(join(casesFolder, file), 'utf8');
  const [, place, rule] = /^\/\/ at: (\S+)\n\/\/ fails: (\S+)\n/.exec(text) ?? [];
  assert.ok(place !== undefined && rule !== undefined, `${file} needs the lines "// at:" and "// fails:"`);
  mkdirSync(dirname(join(scratch, place)), { recursive: true });
  writeFileSync(join(scratch, place), text);
  return { name: file.replace('.ts.txt', ''), place, rule };
}

function lint(): readonly Diagnostic[] {
  for (const path of ['biome.json', 'biome', '.gitignore', 'package.json', ...manifests()]) {
    cpSync(join(root, path), join(scratch, path), { recursive: true });
  }
  const result = spawnSync(
    join(root, 'node_modules', '.bin', 'biome'),
    ['lint', '--reporter=json', '--max-diagnostics=none', '.'],
    {
      cwd: scratch,
      encoding: 'utf8',
    },
  );
  assert.equal(result.status, 1, `biome was expected to reject the cases: ${result.stderr}`);
  return (JSON.parse(result.stdout) as { diagnostics: Diagnostic[] }).diagnostics;
}

function manifests(): readonly string[] {
  return globSync('{packages,services,apps}/*/package.json', { cwd: root });
}
