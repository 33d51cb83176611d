/**
 * Runs a transcript file and compares what comes out with what the file expects, on two levels. Level 2 is every byte.
 * Level 1 leaves out the log lines of levels INFO and DEBUG on both sides, and takes an output that is empty then as `ok`;
 * files without log lines are compared on level 2 alone.
 * The kind of a file is that of its commands, told from its first one.
 */
import { runCommand } from './commands.ts';
import { createConfChangerRunner } from './conf-changer-transcript.ts';
import { type Block, type Command, formatTranscript, parseTranscript } from './datadriven.ts';
import { Environment } from './environment.ts';
import { Output } from './output.ts';
import { runQuorumCommand } from './quorum-transcript.ts';

export interface Difference {
  readonly block: Block;
  readonly actual: string;
}

export interface TranscriptResult {
  /** The first block that differs on each level; undefined when all are equal. */
  readonly level1: Difference | undefined;
  readonly level2: Difference | undefined;
  /** The file as it would be with the actual output. */
  readonly updated: string;
}

/** Throws INVALID_REQUEST for a malformed file. A failed assertion of the core shows in the output of its block. */
export function runTranscript(text: string): TranscriptResult {
  const transcript = parseTranscript(text);
  const run = runnerFor(transcript.blocks[0]?.command.name ?? '');
  const outputs: string[] = [];
  let level1: Difference | undefined;
  let level2: Difference | undefined;
  for (const block of transcript.blocks) {
    const output = safely(run, block.command);
    const actual = output === '' || output.endsWith('\n') ? output : `${output}\n`;
    outputs.push(actual);
    if (actual !== block.expected) {
      level2 ??= { block, actual };
      if (withoutLogs(actual) !== withoutLogs(block.expected)) level1 ??= { block, actual };
    }
  }
  return { level1, level2, updated: formatTranscript(transcript, outputs) };
}

const changerCommands: ReadonlySet<string> = new Set(['simple', 'enter-joint', 'leave-joint']);
const quorumCommands: ReadonlySet<string> = new Set(['committed', 'vote']);

function runnerFor(firstCommand: string): (command: Command) => string {
  if (changerCommands.has(firstCommand)) return createConfChangerRunner();
  if (quorumCommands.has(firstCommand)) return runQuorumCommand;
  const environment = new Environment(new Output());
  return (command) => runCommand(environment, command);
}

function safely(run: (command: Command) => string, command: Command): string {
  try {
    return run(command);
  } catch (error) {
    return `panic: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function withoutLogs(output: string): string {
  const kept = output.replaceAll(/^ *(INFO|DEBUG) .*\n/gm, '');
  return kept === '' ? 'ok\n' : kept;
}

/** The block as a unified diff: expected lines with `-`, actual ones with `+`. */
export function describeDifference({ block, actual }: Difference): string {
  const args = block.command.args.map(({ key, values }) => {
    if (values.length === 0) return ` ${key}`;
    return values.length === 1 ? ` ${key}=${values[0]}` : ` ${key}=(${values.join(',')})`;
  });
  const head = `@@ line ${block.lineNumber}: ${block.command.name}${args.join('')} @@\n`;
  return head + diffLines(linesOf(block.expected), linesOf(actual)).join('');
}

function linesOf(text: string): string[] {
  const lines = text.split('\n');
  lines.pop();
  return lines;
}

/** By longest common subsequence. Outputs are some hundred lines at most, so the square of that is no matter. */
function diffLines(expected: readonly string[], actual: readonly string[]): string[] {
  const width = actual.length + 1;
  const common = new Uint32Array((expected.length + 1) * width);
  for (let i = expected.length - 1; i >= 0; i--) {
    for (let j = actual.length - 1; j >= 0; j--) {
      const here = i * width + j;
      common[here] =
        expected[i] === actual[j]
          ? (common[here + width + 1] as number) + 1
          : Math.max(common[here + width] as number, common[here + 1] as number);
    }
  }
  const lines: string[] = [];
  let i = 0;
  let j = 0;
  while (i < expected.length || j < actual.length) {
    if (i < expected.length && j < actual.length && expected[i] === actual[j]) {
      lines.push(` ${expected[i++]}\n`);
      j++;
    } else if (j === actual.length || (i < expected.length && isRemoval(i, j))) {
      lines.push(`-${expected[i++]}\n`);
    } else {
      lines.push(`+${actual[j++]}\n`);
    }
  }
  return lines;

  function isRemoval(row: number, column: number): boolean {
    const here = row * width + column;
    return (common[here + width] as number) >= (common[here + 1] as number);
  }
}
