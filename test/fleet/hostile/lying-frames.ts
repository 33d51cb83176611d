/**
 * Requests whose gRPC frames lie: longer or shorter than the body, over the limit, compressed where nothing is, two in a call
 * that has one. Each is a stream of its own on a shared connection, answered with its own grpc-status.
 */
import http2 from 'node:http2';
import { grpcFrame } from './raw-http2.ts';
import { type HostileOrder, paced, Tally, within } from './tally.ts';

/** Per door. */
const perSecond = 100;
const mebibyte = 1024 * 1024;
const body = Buffer.alloc(40, 7);

const statuses = { INVALID_ARGUMENT: '3', RESOURCE_EXHAUSTED: '8', UNIMPLEMENTED: '12', INTERNAL: '13' } as const;

interface LyingFrame {
  readonly what: string;
  readonly bytes: Buffer;
  readonly status: keyof typeof statuses;
}

const lies: readonly LyingFrame[] = [
  { what: 'longer than the body', bytes: grpcFrame(body, 100), status: 'INVALID_ARGUMENT' },
  // What is left over is taken for the head of the next frame, and its first byte for a flag.
  { what: 'shorter than the body', bytes: grpcFrame(body, 10), status: 'INVALID_ARGUMENT' },
  { what: 'of 4 GiB', bytes: grpcFrame(body, 0xffff_ffff), status: 'RESOURCE_EXHAUSTED' },
  { what: 'one byte over the limit', bytes: grpcFrame(body, 4 * mebibyte + 1), status: 'RESOURCE_EXHAUSTED' },
  { what: 'compressed', bytes: grpcFrame(body, body.length, 1), status: 'INTERNAL' },
  { what: 'with an unknown flag', bytes: grpcFrame(body, body.length, 9), status: 'INVALID_ARGUMENT' },
  { what: 'cut in its head', bytes: Buffer.from([0, 0, 0]), status: 'INVALID_ARGUMENT' },
  { what: 'that is not there', bytes: Buffer.alloc(0), status: 'UNIMPLEMENTED' },
  {
    what: 'that comes twice',
    bytes: Buffer.concat([grpcFrame(Buffer.alloc(0)), grpcFrame(Buffer.alloc(0))]),
    status: 'UNIMPLEMENTED',
  },
];

export async function lyingFrames({ doors, seconds }: HostileOrder): Promise<Tally> {
  const tally = new Tally();
  await Promise.all(
    Object.entries(doors).map(async ([door, address]) => {
      const session = http2.connect(`http://${address}`);
      session.on('error', () => session.destroy());
      await paced({ perSecond, seconds }, async (index) => {
        const lie = lies[index % lies.length] as LyingFrame;
        tally.act();
        const status = (await within(callWith(session, lie.bytes), 5_000)) ?? 'no answer';
        const name = Object.entries(statuses).find(([, number]) => number === status)?.[0] ?? status;
        tally.expect(`${door}: a frame ${lie.what}`, name, [lie.status]);
      });
      session.destroy();
    }),
  );
  return tally;
}

/** Sends these bytes as the body of a ProduceBatch; the grpc-status, or what happened instead. */
function callWith(session: http2.ClientHttp2Session, bytes: Buffer): Promise<string> {
  return new Promise((resolve) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/rustmq.client.ProducerService/ProduceBatch',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('response', (headers) => take(headers['grpc-status']));
    stream.on('trailers', (trailers) => take(trailers['grpc-status']));
    stream.on('error', (error) => resolve(error.message));
    stream.on('close', () => resolve('closed without a status'));
    stream.resume();
    stream.end(bytes);
    const take = (status: unknown): void => {
      if (typeof status === 'string') resolve(status);
    };
  });
}
