/**
 * Cuts a byte stream into lines, as bytes: a value goes out exactly as it came in, whatever its encoding. A line ends with LF;
 * a CR before it belongs to the end. The last line needs none.
 * Bound: no line is longer than `lineBytesMax`.
 */
import { UsageError } from './parse.ts';

const lineFeed = 10;
const carriageReturn = 13;

/** The lines of each chunk together, so that the caller works in runs and not line by line. */
export async function* linesOf(
  chunks: AsyncIterable<Uint8Array>,
  lineBytesMax: number = 3 * 1024 * 1024,
): AsyncGenerator<Uint8Array[]> {
  let rest: Uint8Array[] = [];
  let restBytes = 0;
  for await (const chunk of chunks) {
    const lines: Uint8Array[] = [];
    let start = 0;
    for (let end = chunk.indexOf(lineFeed); end >= 0; end = chunk.indexOf(lineFeed, start)) {
      const piece = chunk.subarray(start, end);
      lines.push(withoutReturn(rest.length === 0 ? piece : Buffer.concat([...rest, piece])));
      rest = [];
      restBytes = 0;
      start = end + 1;
    }
    if (start < chunk.length) rest.push(chunk.subarray(start));
    restBytes += chunk.length - start;
    if (restBytes > lineBytesMax) throw new UsageError(`a line is longer than ${lineBytesMax} bytes`);
    if (lines.length > 0) yield lines;
  }
  if (restBytes > 0) yield [withoutReturn(Buffer.concat(rest))];
}

function withoutReturn(line: Uint8Array): Uint8Array {
  return line.at(-1) === carriageReturn ? line.subarray(0, -1) : line;
}
