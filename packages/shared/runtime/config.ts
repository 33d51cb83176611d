/**
 * Configuration of a service, read once at its start: defaults < YAML file < environment < flags. The schema (Zod) knows
 * types, ranges and defaults; this file decides which value wins and remembers where it came from. An unknown key is an
 * error wherever it stands, because a setting that is misspelt and silently ignored is found out in the worst hour.
 * All problems are reported at once, in one INVALID_CONFIG. Nobody else reads the environment.
 */
import { DomainError } from '@fleetmq/shared';
import { z } from 'zod';
import { type ConfigSchema, listSections, listSettings, type Setting } from './config-schema.ts';
import { type Found, type Origin, readEnvironmentSource, readFileSource, readFlagSource } from './config-sources.ts';

const PREFIX = 'FLEETMQ';

export interface ConfigInputs<Schema extends ConfigSchema> {
  readonly schema: Schema;
  /** Path of the YAML file; without it there is none, no folder is searched. */
  readonly file?: string | undefined;
  /** Default empty; `main.ts` passes `process.env`. Only `FLEETMQ_*` is looked at. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** `--section.key=value`, without the program's own name. */
  readonly flags?: readonly string[];
  /** Variables that begin with `FLEETMQ_` and belong to other programs. */
  readonly ignoredVariables?: readonly string[];
}

export interface LoadedConfig<Config> {
  readonly config: Config;
  /** Where each setting's value came from, by key (`listen.clientPort`). */
  readonly origins: ReadonlyMap<string, Origin>;
  readonly settings: readonly Setting[];
}

/** Throws INVALID_CONFIG whose message has one line per problem: the key, the value, where it was found, what is allowed. */
export function loadConfig<Schema extends ConfigSchema>(inputs: ConfigInputs<Schema>): LoadedConfig<z.output<Schema>> {
  const settings = listSettings(inputs.schema, PREFIX);
  const sources = [
    inputs.file === undefined ? { found: [], problems: [] } : readFileSource(inputs.file, settings),
    readEnvironmentSource(inputs.environment ?? {}, settings, {
      prefix: PREFIX,
      ignored: inputs.ignoredVariables ?? [],
    }),
    readFlagSource(inputs.flags ?? [], settings),
  ];
  const problems = sources.flatMap((source) => source.problems);
  const winners = new Map(sources.flatMap((source) => source.found).map((found) => [found.setting.key, found]));
  const parsed = inputs.schema.safeParse(nest(inputs.schema, winners));
  if (!parsed.success) problems.push(...parsed.error.issues.map((issue) => describeIssue(issue, settings, winners)));
  if (!parsed.success || problems.length > 0) throw new DomainError('INVALID_CONFIG', problems.join('\n'));
  const fallback: Origin = { kind: 'default', place: '' };
  const origins = new Map(settings.map(({ key }) => [key, winners.get(key)?.origin ?? fallback]));
  return { config: parsed.data, origins, settings };
}

/** The effective configuration, one `key = value  # origin` a line, secrets hidden. */
export function formatConfig(loaded: LoadedConfig<unknown>): string {
  const rows = loaded.settings.map(({ key, path, secret }) => {
    const value = valueAt(loaded.config, path);
    const shown = value === undefined ? '(none)' : secret ? '(secret)' : JSON.stringify(value);
    return { text: `${key} = ${shown}`, origin: formatOrigin(loaded.origins.get(key)) };
  });
  const width = Math.min(60, Math.max(0, ...rows.map((row) => row.text.length)));
  return rows.map(({ text, origin }) => `${text.padEnd(width)}  # ${origin}`).join('\n');
}

/** JSON Schema (2020-12) of the configuration file, for editors and documents. */
export function configJsonSchema(schema: ConfigSchema): unknown {
  return z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
}

function nest(schema: ConfigSchema, winners: ReadonlyMap<string, Found>): unknown {
  const root: Record<string, unknown> = {};
  for (const section of listSections(schema)) put(root, section, {});
  for (const { setting, value } of winners.values()) put(root, setting.path, value);
  return root;
}

function put(root: Record<string, unknown>, path: readonly string[], value: unknown): void {
  let target = root;
  for (const name of path.slice(0, -1)) {
    target[name] ??= {};
    target = target[name] as Record<string, unknown>;
  }
  target[path[path.length - 1] as string] = value;
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let value = root;
  for (const name of path) value = (value as Record<PropertyKey, unknown> | undefined)?.[name];
  return value;
}

function describeIssue(
  issue: z.core.$ZodIssue,
  settings: readonly Setting[],
  winners: ReadonlyMap<string, Found>,
): string {
  const setting = settings.find(({ path }) => path.every((name, depth) => issue.path[depth] === name));
  if (setting === undefined) return `${issue.path.join('.') || 'the configuration'}: ${issue.message}`;
  const winner = winners.get(setting.key);
  if (winner === undefined) {
    const missing = issue.code === 'invalid_type' ? 'has no value' : issue.message;
    return `${setting.key} ${missing}: set it by --${setting.key}, ${setting.variable}, or in the file`;
  }
  const shown = setting.secret ? '(secret)' : JSON.stringify(winner.value);
  return `${issue.path.join('.')} = ${shown} (${formatOrigin(winner.origin)}): ${issue.message}`;
}

function formatOrigin(origin: Origin | undefined): string {
  if (origin === undefined || origin.kind === 'default') return 'default';
  return `${origin.kind} ${origin.place}`;
}
