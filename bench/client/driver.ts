/**
 * The client half of a target, which runs in the client's process: what one Node client has to do, in the terms of whichever
 * system it speaks to. A driver uses its client as that client's own guide would have it (batches, pipelines, windows) and
 * keeps as much under way as suits it; what it must never do is count a record that was not acknowledged or not handed over.
 */
import type { ClosedLoopOptions, ClosedLoopResult } from '../closed-loop.ts';
import type { Workload } from '../workload.ts';

/** How a client finds its servers: plain JSON, since it crosses to another process. */
export type DriverSpec =
  | { readonly kind: 'bare-loop'; readonly port: number }
  | {
      readonly kind: 'fleetmq';
      readonly gateway: string;
      /** Empty: through the gateway. */
      readonly brokers: readonly string[];
      readonly topicConfig: Readonly<Record<string, string>>;
    }
  | { readonly kind: 'grpc-js' | 'grpc-go' | 'lane'; readonly gateway: string; readonly address: string }
  | PeerSpec;

/** Of a client that is not part of this workspace. */
export type PeerSpec =
  | { readonly kind: 'redis' | 'ioredis'; readonly modules: string; readonly port: number }
  | { readonly kind: 'nats' | 'nats-batch'; readonly modules: string; readonly port: number }
  | {
      readonly kind: 'platformatic-kafka' | 'confluent-kafka';
      readonly modules: string;
      readonly brokers: readonly string[];
      readonly topicConfig: Readonly<Record<string, string>>;
    };

export interface Job {
  readonly topic: string;
  readonly workload: Workload;
  readonly count: number;
  /** To be called when everything is connected and the first record is next: the clock starts. */
  readonly begin: () => void;
}

/** Hears of each value that was read. */
export type See = (value: Uint8Array) => void;

/** Sends single records as they come, without waiting for others to share a request with. */
export interface Publisher {
  send(value: Buffer): void;
  /** Resolves when all are acknowledged; throws when one was not. */
  close(): Promise<void>;
}

export interface Driver extends AsyncDisposable {
  createTopic(topic: string, workload: Workload): Promise<void>;
  deleteTopic(topic: string): Promise<void>;
  /** Writes so many records and resolves when the last one is acknowledged. */
  produce(job: Job): Promise<void>;
  /** Reads so many records from the topic's beginning. */
  consume(job: Job, see: See): Promise<void>;
  publish(topic: string, workload: Workload): Promise<Publisher>;
  /** Reads what is written from now on, until it is disposed of. Resolves when it is sure to miss nothing more. */
  subscribe(topic: string, workload: Workload, see: See): Promise<AsyncDisposable>;
  /** A call per record, answered before it resolves; of drivers that are there for it. */
  call?(topic: string, workload: Workload): Promise<(value: Buffer) => Promise<void>>;
  /** The same in a closed loop of its own; of drivers that call from another program. */
  callInLoop?(topic: string, workload: Workload, loop: ClosedLoopOptions): Promise<ClosedLoopResult>;
}
