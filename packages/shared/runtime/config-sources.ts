/**
 * The three places where settings are written: a YAML file, the environment, flags. Each source gives values with the
 * place they came from, and reports every key that it does not know, with the nearest one that exists.
 */
import { readFileSync } from 'node:fs';
import { isMap, isScalar, LineCounter, parseDocument, type YAMLMap } from 'yaml';
import type { Setting } from './config-schema.ts';

export interface Origin {
  readonly kind: 'default' | 'file' | 'environment' | 'flag';
  /** `broker.yaml:7`, `FLEETMQ_NODE_ID`, `--node.id`; empty for a default. */
  readonly place: string;
}

export interface Found {
  readonly setting: Setting;
  readonly value: unknown;
  readonly origin: Origin;
}

export interface SourceResult {
  readonly found: readonly Found[];
  readonly problems: readonly string[];
}

/** Reads the file at `path`. A file that cannot be read or parsed is a problem, too. */
export function readFileSource(path: string, settings: readonly Setting[]): SourceResult {
  const text = readText(path);
  if (text.problem !== undefined) return { found: [], problems: [`the file ${path} cannot be read: ${text.problem}`] };
  const lines = new LineCounter();
  const document = parseDocument(text.content, { lineCounter: lines });
  if (document.errors.length > 0)
    return { found: [], problems: document.errors.map((error) => `${path}: ${error.message}`) };
  const root = document.contents;
  if (root === null) return { found: [], problems: [] };
  if (!isMap(root)) return { found: [], problems: [`${path}: a configuration is a map of sections`] };
  const place = (offset: number | undefined): string => `${path}:${lines.linePos(offset ?? 0).line}`;
  const result = { found: [] as Found[], problems: [] as string[] };
  collectFromMap(root, [], { settings, place, ...result });
  return result;
}

interface FileWalk {
  readonly settings: readonly Setting[];
  readonly place: (offset: number | undefined) => string;
  readonly found: Found[];
  readonly problems: string[];
}

function collectFromMap(map: YAMLMap, path: readonly string[], walk: FileWalk): void {
  for (const { key, value } of map.items) {
    const name = isScalar(key) ? String(key.value) : String(key);
    const here = [...path, name].join('.');
    const at = walk.place(isScalar(key) ? key.range?.[0] : undefined);
    const setting = walk.settings.find((each) => each.key === here);
    const isSection = walk.settings.some((each) => each.key.startsWith(`${here}.`));
    if (setting !== undefined) {
      const plain = value === null ? null : ((value as { toJSON(): unknown }).toJSON() as unknown);
      walk.found.push({ setting, value: plain, origin: { kind: 'file', place: at } });
    } else if (isSection && isMap(value)) collectFromMap(value, [...path, name], walk);
    else if (isSection) walk.problems.push(...emptySection(here, value, at));
    else
      walk.problems.push(
        `unknown key ${here} in ${at}${nearest(
          here,
          walk.settings.map((each) => each.key),
        )}`,
      );
  }
}

function emptySection(key: string, value: unknown, at: string): readonly string[] {
  const empty = value === null || (isScalar(value) && value.value === null);
  return empty ? [] : [`${key} in ${at} is a section with keys of its own, not a value`];
}

/** Variables that begin with `<prefix>_`; others are not looked at. `ignored` names those that belong to other programs. */
export function readEnvironmentSource(
  environment: Readonly<Record<string, string | undefined>>,
  settings: readonly Setting[],
  options: { readonly prefix: string; readonly ignored: readonly string[] },
): SourceResult {
  const found: Found[] = [];
  const problems: string[] = [];
  const known = new Map(settings.map((setting) => [setting.variable, setting]));
  for (const [variable, text] of Object.entries(environment)) {
    if (text === undefined || !variable.startsWith(`${options.prefix}_`) || options.ignored.includes(variable))
      continue;
    const origin: Origin = { kind: 'environment', place: variable };
    const setting = known.get(variable);
    const fromFile = known.get(variable.replace(/_FILE$/, ''));
    if (setting !== undefined) found.push({ setting, value: setting.parse(text), origin });
    else if (fromFile?.secret) addSecret(fromFile, text);
    else if (fromFile !== undefined)
      problems.push(`${variable}: only secrets are read from files, ${fromFile.key} is none`);
    else problems.push(`unknown key ${variable} in the environment${nearest(variable, [...known.keys()])}`);

    function addSecret(target: Setting, path: string): void {
      const read = readText(path);
      if (environment[target.variable] !== undefined)
        problems.push(`${target.variable} and ${variable} are both set: take one`);
      else if (read.problem !== undefined) problems.push(`${variable}: ${path} cannot be read: ${read.problem}`);
      // Editors and secret stores end a file with a line break that is not part of the secret.
      else found.push({ setting: target, value: target.parse(read.content.replace(/\r?\n$/, '')), origin });
    }
  }
  return { found, problems };
}

/** `--section.key=value`, and `--section.key` alone for true. Anything else is a problem. */
export function readFlagSource(flags: readonly string[], settings: readonly Setting[]): SourceResult {
  const found: Found[] = [];
  const problems: string[] = [];
  for (const flag of flags) {
    const [, key, text] = /^--([^=]+)(?:=(.*))?$/s.exec(flag) ?? [];
    const setting = settings.find((each) => each.key === key);
    if (key === undefined)
      problems.push(`unexpected argument ${JSON.stringify(flag)}: flags look like --section.key=value`);
    else if (setting === undefined) {
      problems.push(
        `unknown key --${key} in the flags${nearest(
          key,
          settings.map((each) => each.key),
          '--',
        )}`,
      );
    } else found.push({ setting, value: setting.parse(text ?? 'true'), origin: { kind: 'flag', place: `--${key}` } });
  }
  return { found, problems };
}

function readText(path: string): { content: string; problem?: undefined } | { content?: undefined; problem: string } {
  try {
    return { content: readFileSync(path, 'utf8') };
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}

/** ` (did you mean X?)` for the candidate with the fewest edits, if it is near enough to be meant. */
function nearest(name: string, candidates: readonly string[], prefix = ''): string {
  let best = { candidate: '', distance: Number.POSITIVE_INFINITY };
  for (const candidate of candidates) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < best.distance) best = { candidate, distance };
  }
  return best.distance <= Math.max(2, name.length / 3) ? ` (did you mean ${prefix}${best.candidate}?)` : '';
}

/** Levenshtein's distance, row by row. */
function editDistance(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let i = 1; i <= left.length; i++) {
    const next = [i];
    for (let j = 1; j <= right.length; j++) {
      const replaced = (row[j - 1] as number) + (left[i - 1] === right[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[right.length] as number;
}
