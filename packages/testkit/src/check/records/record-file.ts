/** Histories of records in files, a line per event: written and read piece by piece, so that their length does not matter. */
import * as fs from 'node:fs';
import { StringDecoder } from 'node:string_decoder';
import { parseRecordEvent, type RecordEvent } from './events.ts';

const pieceBytes = 1 << 20;
/** Kept in memory until then. */
const linesMax = 256;

/** Writes a history anew. What is noted is in the file after `close`, or after a few hundred events. */
export class RecordFile implements Disposable {
  readonly #file: number;
  #lines: string[] = [];

  constructor(path: string) {
    this.#file = fs.openSync(path, 'w');
  }

  write(event: RecordEvent): void {
    this.#lines.push(JSON.stringify(event));
    if (this.#lines.length >= linesMax) this.#flush();
  }

  [Symbol.dispose](): void {
    this.#flush();
    fs.closeSync(this.#file);
  }

  #flush(): void {
    if (this.#lines.length > 0) fs.writeFileSync(this.#file, `${this.#lines.join('\n')}\n`);
    this.#lines = [];
  }
}

/** INVALID_REQUEST with the number of the line that is no event; empty lines are skipped. */
export function* readRecordFile(path: string): Generator<RecordEvent> {
  let number = 0;
  for (const line of linesOf(path)) {
    number++;
    if (line.trim() !== '') yield parseRecordEvent(line, number);
  }
}

function* linesOf(path: string): Generator<string> {
  const file = fs.openSync(path, 'r');
  try {
    const piece = Buffer.allocUnsafe(pieceBytes);
    const decoder = new StringDecoder('utf8');
    let rest = '';
    for (let length = fs.readSync(file, piece); length > 0; length = fs.readSync(file, piece)) {
      const lines = (rest + decoder.write(piece.subarray(0, length))).split('\n');
      rest = lines.pop() ?? '';
      yield* lines;
    }
    yield rest + decoder.end();
  } finally {
    fs.closeSync(file);
  }
}
