/**
 * The ceiling: what node:http2 and one file can do with nothing in between. No broker, no contract, no metadata. Groups of
 * records arrive as length-prefixed messages on one stream and are answered after fdatasync; reads stream the file back, tails
 * get each group when it is durable. Paths: /produce/TOPIC, /consume/TOPIC, /tail/TOPIC, /delete/TOPIC.
 * Started as a process of its own, as brokers are: `bare-server.ts FOLDER`. Prints its port.
 */
import fs from 'node:fs';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

const chunkBytes = 1 << 20;
const answer = Buffer.from([0, 0, 0, 0, 2, 8, 1]);
const folder = process.argv[2] ?? '.';

interface Group {
  readonly pieces: readonly Buffer[];
  readonly stream: http2.ServerHttp2Stream;
}

/** One file, and what waits for it. */
class Topic {
  readonly #path: string;
  readonly #file: number;
  readonly tails = new Set<http2.ServerHttp2Stream>();
  #position = 0;
  #queue: Group[] = [];
  #isWriting = false;

  constructor(name: string) {
    this.#path = join(folder, `${name}.log`);
    this.#file = fs.openSync(this.#path, 'w+');
  }

  append(group: Group): void {
    this.#queue.push(group);
    this.#drain();
  }

  /** One vectored write and one fdatasync for all that has arrived meanwhile. */
  #drain(): void {
    if (this.#isWriting || this.#queue.length === 0) return;
    this.#isWriting = true;
    const groups = this.#queue;
    this.#queue = [];
    const pieces = groups.flatMap((group) => group.pieces);
    fs.writev(this.#file, pieces, this.#position, (error) => {
      if (error) throw error;
      for (const piece of pieces) this.#position += piece.length;
      fs.fdatasync(this.#file, (failure) => {
        if (failure) throw failure;
        this.#isWriting = false;
        for (const group of groups) group.stream.write(answer);
        for (const tail of this.tails) for (const piece of pieces) tail.write(piece);
        this.#drain();
      });
    });
  }

  /** The whole file, one read ahead of the socket's flow control at a time. */
  send(stream: http2.ServerHttp2Stream): void {
    const size = this.#position;
    let at = 0;
    const step = (): void => {
      if (at >= size) {
        stream.end();
        return;
      }
      const chunk = Buffer.allocUnsafe(Math.min(chunkBytes, size - at));
      fs.read(this.#file, chunk, 0, chunk.length, at, (error, count) => {
        if (error) throw error;
        at += count;
        if (stream.write(chunk)) step();
        else stream.once('drain', step);
      });
    };
    step();
  }

  delete(): void {
    fs.closeSync(this.#file);
    fs.rmSync(this.#path);
  }
}

const topics = new Map<string, Topic>();

function topicOf(name: string): Topic {
  const topic = topics.get(name) ?? new Topic(name);
  topics.set(name, topic);
  return topic;
}

/** Cuts the stream into groups: one byte of flags, four of length, the records. */
function receive(stream: http2.ServerHttp2Stream, topic: Topic): void {
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
        topic.append({ pieces, stream });
        missing = -1;
      }
    }
  });
}

function serve(stream: http2.ServerHttp2Stream, path: string): void {
  const [, action, name = ''] = path.split('/');
  const topic = topicOf(name);
  stream.respond({ ':status': 200 });
  if (action === 'produce') receive(stream, topic);
  else if (action === 'consume') topic.send(stream);
  else if (action === 'tail') {
    topic.tails.add(stream);
    stream.once('close', () => topic.tails.delete(stream));
  } else {
    topics.delete(name);
    topic.delete();
    stream.end();
  }
}

const server = http2.createServer({ settings: { initialWindowSize: 16 << 20, maxFrameSize: 1 << 20 } });
server.on('session', (session) => session.setLocalWindowSize(64 << 20));
server.on('stream', (stream, headers) => {
  stream.on('error', () => stream.close());
  serve(stream, headers[':path'] ?? '');
});
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`);
});
