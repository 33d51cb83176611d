/**
 * The ceiling: what node:http2 and one file can do with nothing in between. No broker, no contract, no metadata. Groups of
 * records arrive as length-prefixed messages on one stream and are answered after fdatasync; reads stream the file back.
 * Started as a process of its own, as brokers are: `bare-server.ts FILE`. Prints its port.
 */
import fs from 'node:fs';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';

const chunkBytes = 1 << 20;
const answer = Buffer.from([0, 0, 0, 0, 2, 8, 1]);

interface Group {
  readonly pieces: readonly Buffer[];
  readonly stream: http2.ServerHttp2Stream;
}

const file = fs.openSync(process.argv[2] ?? 'bare-loop.log', 'w+');
let position = 0;
let queue: Group[] = [];
let writing = false;

/** One vectored write and one fdatasync for all that has arrived meanwhile. */
function drain(): void {
  if (writing || queue.length === 0) return;
  writing = true;
  const groups = queue;
  queue = [];
  const pieces = groups.flatMap((group) => group.pieces);
  fs.writev(file, pieces, position, (error) => {
    if (error) throw error;
    for (const piece of pieces) position += piece.length;
    fs.fdatasync(file, (failure) => {
      if (failure) throw failure;
      writing = false;
      for (const group of groups) group.stream.write(answer);
      drain();
    });
  });
}

/** Cuts the stream into groups: one byte of flags, four of length, the records. */
function receive(stream: http2.ServerHttp2Stream): void {
  stream.respond({ ':status': 200 });
  let head: Buffer = Buffer.alloc(0);
  let missing = -1;
  let pieces: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => {
    let rest = chunk;
    while (rest.length > 0) {
      if (missing < 0) {
        head = head.length > 0 ? Buffer.concat([head, rest]) : rest;
        if (head.length < 5) return;
        missing = head.readUInt32BE(1);
        rest = head.subarray(5);
        head = Buffer.alloc(0);
        pieces = [];
        continue;
      }
      const piece = rest.length > missing ? rest.subarray(0, missing) : rest;
      pieces.push(piece);
      missing -= piece.length;
      rest = rest.subarray(piece.length);
      if (missing === 0) {
        queue.push({ pieces, stream });
        missing = -1;
        drain();
      }
    }
  });
}

function send(stream: http2.ServerHttp2Stream): void {
  stream.respond({ ':status': 200 });
  const size = fs.fstatSync(file).size;
  let at = 0;
  const step = (): void => {
    if (at >= size) {
      stream.end();
      return;
    }
    const chunk = Buffer.allocUnsafe(Math.min(chunkBytes, size - at));
    fs.read(file, chunk, 0, chunk.length, at, (error, count) => {
      if (error) throw error;
      at += count;
      if (stream.write(chunk)) step();
      else stream.once('drain', step);
    });
  };
  step();
}

const server = http2.createServer({ settings: { initialWindowSize: 16 << 20, maxFrameSize: 1 << 20 } });
server.on('session', (session) => session.setLocalWindowSize(64 << 20));
server.on('stream', (stream, headers) => {
  stream.on('error', () => stream.close());
  if (headers[':path'] === '/produce') receive(stream);
  else send(stream);
});
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`);
});
