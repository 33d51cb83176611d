/** Settings of a gateway: names, types, ranges, defaults. Read once, by `main.ts`; tests make the value themselves. */
import { listenerSettings, logLevels } from '@fleetmq/shared/runtime';
import { z } from 'zod';

const host = z.string().min(1);
const port = z.number().int().min(0).max(65_535);
const mebibyte = 1024 * 1024;

export const gatewaySchema = z.strictObject({
  /** "host:port,host:port" of the controllers' internal listeners; "id@host:port" names their ids too. */
  controllers: z.string().min(1),
  security: z.strictObject({
    /** Without a default: whoever runs without logins says so. */
    mode: z.enum(['open', 'secured']),
  }),
  listen: z.strictObject({
    client: z.strictObject({
      host: host.default('127.0.0.1'),
      port: port.default(7600),
      /** PEM files; both or none. With them the listener speaks TLS alone. */
      'tls-cert': z.string().min(1).optional(),
      'tls-key': z.string().min(1).optional(),
    }),
    ops: z.strictObject({ host: host.default('127.0.0.1'), port: port.default(7609) }),
  }),
  cors: z.strictObject({
    /** Origins of pages that may call: "https://console.example,http://localhost:*". Default: pages of this machine. */
    origins: z.array(z.string()).optional(),
  }),
  reflection: z.strictObject({
    /** Whether the client listener describes its services to grpcurl and its like. */
    enabled: z.boolean().default(true),
  }),
  limits: z.strictObject({
    /** Bytes of one message, in either direction. */
    'message-bytes': z
      .number()
      .int()
      .min(mebibyte)
      .max(64 * mebibyte)
      .default(4 * mebibyte),
    /** Partitions named by one call. */
    'partitions-per-call': z.number().int().min(1).max(10_000).default(1_000),
    /** Bytes of one fetch answer; must fit a message. */
    'fetch-bytes': z
      .number()
      .int()
      .min(65_536)
      .max(48 * mebibyte)
      .default(3 * mebibyte),
    /** Longest wait of a fetch for min_bytes. */
    'fetch-wait-ms': z.number().int().min(0).max(300_000).default(30_000),
    /** Requests on one ProduceStream that are not answered yet. */
    'stream-requests': z.number().int().min(1).max(16_384).default(1_024),
    /** Their bytes. */
    'stream-bytes': z
      .number()
      .int()
      .min(65_536)
      .max(256 * mebibyte)
      .default(8 * mebibyte),
    /** Answer bytes of one broker that may wait in one subscription. */
    'subscription-buffer-bytes': z
      .number()
      .int()
      .min(16_384)
      .max(64 * mebibyte)
      .default(262_144),
    /** Calls to one broker that are open. */
    'calls-per-broker': z.number().int().min(1).max(65_536).default(4_096),
    /** Connections of clients. */
    connections: z.number().int().min(1).max(1_000_000).default(10_000),
    /** Streams of one connection. */
    'streams-per-connection': z.number().int().min(1).max(10_000).default(128),
    ...listenerSettings,
    /** How long a stop waits for open calls. */
    'drain-ms': z.number().int().min(0).max(600_000).default(10_000),
  }),
  log: z.strictObject({ level: z.enum(logLevels).default('info') }),
});

export type GatewayConfig = z.output<typeof gatewaySchema>;
