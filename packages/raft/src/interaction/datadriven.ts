/**
 * The format of transcript files: blocks of comment lines, a command line, body lines, `----`, and the expected output up
 * to the next blank line. Output that contains blank lines stands between two pairs of `----` lines.
 * A command line is a name and arguments: `key`, `key=value` or `key=(a,b)`; a final backslash continues it.
 * Parsing keeps every line, so that a file can be written back with other outputs and otherwise unchanged.
 * Format: github.com/cockroachdb/datadriven.
 */
import { DomainError } from '@fleetmq/shared';

export interface CommandArgument {
  readonly key: string;
  /** Empty for a bare key. */
  readonly values: readonly string[];
}

export interface Command {
  readonly name: string;
  readonly args: readonly CommandArgument[];
  /** Body lines, joined. */
  readonly input: string;
}

export interface Block {
  readonly command: Command;
  /** Ends with a line end unless it is empty. */
  readonly expected: string;
  /** Number of the command line in the file, from 1. */
  readonly lineNumber: number;
  /** All lines before the output: blank ones, comments, command, body. */
  readonly head: readonly string[];
}

export interface Transcript {
  readonly blocks: readonly Block[];
  /** Lines behind the last block. */
  readonly tail: readonly string[];
}

const separator = '----';

/** Throws INVALID_REQUEST for a text that is no transcript. */
export function parseTranscript(text: string): Transcript {
  const lines = text.split('\n');
  if (lines[lines.length - 1] === '') lines.pop();
  const blocks: Block[] = [];
  let position = 0;
  const next = (): string => {
    const line = lines[position];
    if (line === undefined) throw malformed(position, 'the file ends inside a block');
    position++;
    return line;
  };
  while (true) {
    const start = position;
    while (position < lines.length && isFiller(lines[position] as string)) position++;
    if (position === lines.length) return { blocks, tail: lines.slice(start) };
    const lineNumber = position + 1;
    let commandLine = next();
    while (commandLine.endsWith('\\')) commandLine = `${commandLine.slice(0, -1).trimEnd()} ${next().trim()}`;
    const body: string[] = [];
    for (let line = next(); line !== separator; line = next()) body.push(line);
    const head = lines.slice(start, position - 1);
    const expected = lines[position] === separator ? readFenced() : readPlain();
    const { name, args } = parseCommandLine(commandLine);
    blocks.push({ command: { name, args, input: body.join('\n') }, expected, lineNumber, head });
  }

  function readPlain(): string {
    const output: string[] = [];
    while (position < lines.length && lines[position] !== '') output.push(next());
    return join(output);
  }

  function readFenced(): string {
    const output: string[] = [];
    for (position++; ; ) {
      const line = next();
      if (line === separator && lines[position] === separator) break;
      output.push(line);
    }
    position++;
    return join(output);
  }
}

/** The file again, with `outputs` in place of what was expected, one for each block. */
export function formatTranscript(transcript: Transcript, outputs: readonly string[]): string {
  const parts = transcript.blocks.map(({ head }, position) => {
    const output = outputs[position] ?? '';
    const hasBlankLine = /(^|\n)\n/.test(output);
    const body = hasBlankLine
      ? `${separator}\n${separator}\n${output}${separator}\n${separator}\n`
      : `${separator}\n${output}`;
    return `${join(head)}${body}`;
  });
  return parts.join('') + join(transcript.tail);
}

/** `name key key=value key=(a, b)` */
function parseCommandLine(line: string): Pick<Command, 'name' | 'args'> {
  const tokens = line.trim().match(/[^\s=()]+=\([^)]*\)|\S+/g) ?? [];
  const [name, ...rest] = tokens;
  if (name === undefined) throw new DomainError('INVALID_REQUEST', 'an empty command line');
  return { name, args: rest.map(parseArgument) };
}

function parseArgument(token: string): CommandArgument {
  const at = token.indexOf('=');
  if (at < 0) return { key: token, values: [] };
  const value = token.slice(at + 1);
  const isList = value.startsWith('(') && value.endsWith(')');
  const values = isList ? value.slice(1, -1).split(/[\s,]+/) : [value];
  return { key: token.slice(0, at), values: values.filter((item) => item !== '') };
}

function isFiller(line: string): boolean {
  return line.trim() === '' || line.startsWith('#');
}

function join(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('');
}

function malformed(position: number, what: string): DomainError {
  return new DomainError('INVALID_REQUEST', `malformed transcript at line ${position + 1}: ${what}`);
}
