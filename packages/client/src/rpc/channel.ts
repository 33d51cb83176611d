/**
 * The transport port of the client: one `Channel` per server. The portable core knows nothing of HTTP; `node.ts` implements
 * it over the HTTP/2 lane, `web.ts` (and tests) over any Connect transport.
 *
 * The hot calls travel as bytes: the core writes and reads their protobuf itself and decodes no record that it need not.
 * A channel throws DomainErrors only. Every call has a deadline; a stream has none but its signal.
 */
import type {
  DescMessage,
  DescMethodBiDiStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';

/** One encoded protobuf message, whole or as pieces that follow each other. Not to be changed before the call has ended. */
export type RawMessage = Uint8Array | readonly Uint8Array[];

export interface UnaryCall {
  /** Milliseconds, at least 1. TIMEOUT when they are over: the outcome is then unknown. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface Channel {
  /** Base URL of the server, for error texts and as a key. */
  readonly address: string;
  unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    call: UnaryCall,
  ): Promise<MessageShape<O>>;
  rawUnary(method: DescMethodUnary, request: RawMessage, call: UnaryCall): Promise<Uint8Array>;
  /** Pulls: what is not asked for stays in the transport's window. Ends by itself, by `signal`, or by `return()`. */
  rawServerStream(
    method: DescMethodServerStreaming,
    request: RawMessage,
    call: { readonly signal: AbortSignal },
  ): AsyncIterable<Uint8Array>;
  /** Both directions at once. Absent where the transport cannot do that, as in a page. */
  rawBidi?(method: DescMethodBiDiStreaming, call: { readonly signal: AbortSignal }): BidiCall;
}

export type StreamingChannel = Channel & Required<Pick<Channel, 'rawBidi'>>;

export interface BidiCall {
  /** Throws when the call is over, or when too much waits to be sent. */
  send(message: RawMessage): void;
  /** No more requests; answers still come. */
  end(): void;
  readonly responses: AsyncIterable<Uint8Array>;
}

/** Opens channels by base URL, one each; closes them all. */
export interface ChannelPool {
  channel(address: string): Channel;
  close(): Promise<void>;
}

/** A pool that makes each channel once. `closeAll` runs when the pool is closed. */
export function createChannelPool(
  open: (address: string) => Channel,
  closeAll: () => Promise<void> = () => Promise.resolve(),
): ChannelPool {
  const channels = new Map<string, Channel>();
  return {
    channel(address) {
      let channel = channels.get(address);
      if (channel === undefined) {
        channel = open(address);
        channels.set(address, channel);
      }
      return channel;
    },
    async close() {
      channels.clear();
      await closeAll();
    },
  };
}
