/**
 * What a configuration schema says about its keys: a Zod object of sections (objects) whose leaves are settings. From here
 * come the three names of a setting (`listen.clientPort` in the file, `FLEETMQ_LISTEN_CLIENT_PORT` in the environment,
 * `--listen.clientPort` as a flag), which settings are secret, and how the text of an environment variable becomes a value.
 */
import { assert } from '@fleetmq/shared';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';

export type ConfigSchema = z.ZodObject;

export interface Setting {
  /** `listen.clientPort`. */
  readonly key: string;
  readonly path: readonly string[];
  /** `FLEETMQ_LISTEN_CLIENT_PORT`. */
  readonly variable: string;
  readonly secret: boolean;
  /** Turns text into a value of the setting's type; text that does not fit is returned as it is, for the schema to refuse. */
  readonly parse: (text: string) => unknown;
}

/** Marks a setting as secret: it is never printed, and may be read from a file named by `<VARIABLE>_FILE`. */
export function secret<Type extends z.ZodType>(type: Type): Type {
  return type.meta({ secret: true });
}

/** All settings of a schema, in its order. */
export function listSettings(schema: ConfigSchema, prefix: string): readonly Setting[] {
  const settings = [...walk(schema, [], prefix)];
  const variables = new Set(settings.map((setting) => setting.variable));
  assert(variables.size === settings.length, 'two settings share one environment variable');
  return settings;
}

/** The sections that are always there: a missing one means that all its settings have their defaults. */
export function listSections(schema: ConfigSchema, path: readonly string[] = []): readonly (readonly string[])[] {
  return Object.entries(schema.shape).flatMap(([name, type]) => {
    const section = type instanceof z.ZodObject ? type : undefined;
    return section === undefined ? [] : [[...path, name], ...listSections(section, [...path, name])];
  });
}

function* walk(schema: ConfigSchema, path: readonly string[], prefix: string): Generator<Setting> {
  for (const [name, type] of Object.entries(schema.shape)) {
    const here = [...path, name];
    const inner = unwrap(type as z.ZodType);
    if (inner instanceof z.ZodObject) yield* walk(inner, here, prefix);
    else {
      yield {
        key: here.join('.'),
        path: here,
        variable: [prefix, ...here.map(toVariablePart)].join('_'),
        secret: isSecret(type as z.ZodType),
        parse: (text) => parseText(inner, text),
      };
    }
  }
}

function toVariablePart(name: string): string {
  return name
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replaceAll('-', '_')
    .toUpperCase();
}

/** The type below defaults, optionality and their like. */
function unwrap(type: z.ZodType): z.ZodType {
  const inner = innerOf(type);
  return inner === undefined ? type : unwrap(inner);
}

function innerOf(type: z.ZodType): z.ZodType | undefined {
  if (type instanceof z.ZodPipe) return type.def.in as z.ZodType;
  const def = type.def as { innerType?: z.ZodType };
  return def.innerType;
}

function isSecret(type: z.ZodType): boolean {
  for (let inner: z.ZodType | undefined = type; inner !== undefined; inner = innerOf(inner)) {
    if (inner.meta()?.['secret'] === true) return true;
  }
  return false;
}

function parseText(type: z.ZodType, text: string): unknown {
  if (type instanceof z.ZodNumber)
    return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text.trim()) ? Number(text) : text;
  if (type instanceof z.ZodBoolean) return text === 'true' ? true : text === 'false' ? false : text;
  if (type instanceof z.ZodArray && !text.trimStart().startsWith('[')) return parseList(type, text);
  if (type instanceof z.ZodArray || type instanceof z.ZodRecord) return parseYamlText(text);
  return text;
}

/** `a, b, c`; the empty text is the empty list. */
function parseList(type: z.ZodArray, text: string): unknown {
  const element = unwrap(type.element as z.ZodType);
  if (text.trim() === '') return [];
  return text.split(',').map((part) => parseText(element, part.trim()));
}

function parseYamlText(text: string): unknown {
  try {
    return parseYaml(text) as unknown;
  } catch {
    // The schema refuses the text, and names the setting and where it came from.
    return text;
  }
}
