/**
 * The client: a process of its own, so that what its work costs counts, and is counted apart from the harness. It is told what
 * to do in messages, one at a time, and answers each with a result or an error.
 */

import { unreachable } from '@fleetmq/shared';
import { type ClosedLoopOptions, type ClosedLoopResult, closedLoop } from '../closed-loop.ts';
import { valuesOf, type Workload } from '../workload.ts';
import { openBareLoop } from './bare-loop.ts';
import type { Driver, DriverSpec } from './driver.ts';
import { type LatencyJob, measureLatency } from './latency.ts';
import { measureConsume, measureProduce, type ThroughputJob } from './throughput.ts';

export interface CallsJob {
  readonly topic: string;
  readonly workload: Workload;
  readonly callers: number;
  readonly seconds: number;
}

/** Results: nothing, seconds, microseconds of each record, or those of the closed loop. */
export type ClientRequest =
  | { readonly step: 'open'; readonly spec: DriverSpec }
  | { readonly step: 'create' | 'delete'; readonly topic: string; readonly workload: Workload }
  | { readonly step: 'produce' | 'consume'; readonly job: ThroughputJob }
  | { readonly step: 'latency'; readonly job: LatencyJob }
  | { readonly step: 'calls'; readonly job: CallsJob }
  | { readonly step: 'close' };

export type ClientResult = undefined | number | number[] | ClosedLoopResult;
export type ClientAnswer = { readonly result: ClientResult } | { readonly error: string };

let driver: Driver | undefined;

async function perform(request: ClientRequest): Promise<ClientResult> {
  if (request.step === 'open') {
    driver = await openDriver(request.spec);
    return undefined;
  }
  if (driver === undefined) throw new Error(`${request.step} before open`);
  switch (request.step) {
    case 'create':
      return void (await driver.createTopic(request.topic, request.workload));
    case 'delete':
      return void (await driver.deleteTopic(request.topic));
    case 'produce':
      return await measureProduce(driver, request.job);
    case 'consume':
      return await measureConsume(driver, request.job);
    case 'latency':
      return await measureLatency(driver, request.job);
    case 'calls':
      return await measureCalls(driver, request.job);
    case 'close':
      return void (await driver[Symbol.asyncDispose]());
    default:
      return unreachable(request);
  }
}

/** Clients are loaded when they are wanted: each process pays for its own alone. */
async function openDriver(spec: DriverSpec): Promise<Driver> {
  switch (spec.kind) {
    case 'bare-loop':
      return await openBareLoop(spec);
    case 'fleetmq':
      return await (await import('./fleetmq.ts')).openFleetmq(spec);
    case 'grpc-js':
    case 'grpc-go':
    case 'lane':
      return await (await import('./unary.ts')).openUnary(spec);
    case 'redis':
    case 'ioredis':
      return await (await import('./redis.ts')).openRedis(spec);
    case 'nats':
    case 'nats-batch':
      return await (await import('./nats.ts')).openNats(spec);
    case 'platformatic-kafka':
      return await (await import('./platformatic-kafka.ts')).openPlatformaticKafka(spec);
    case 'confluent-kafka':
      return await (await import('./confluent-kafka.ts')).openConfluentKafka(spec);
    default:
      return unreachable(spec);
  }
}

async function measureCalls(open: Driver, { topic, workload, callers, seconds }: CallsJob): Promise<ClosedLoopResult> {
  const loop = { callers, seconds, warmUpSeconds: 4 };
  const result = (await open.callInLoop?.(topic, workload, loop)) ?? (await callInLoop(open, topic, workload, loop));
  if (result.errors > 0) throw new Error(`${result.errors} calls failed`);
  return result;
}

async function callInLoop(
  open: Driver,
  topic: string,
  workload: Workload,
  loop: ClosedLoopOptions,
): Promise<ClosedLoopResult> {
  const call = await open.call?.(topic, workload);
  if (call === undefined) throw new Error('this driver makes no single calls');
  const values = valuesOf(workload);
  return await closedLoop(loop, (caller) => call(values[caller & (values.length - 1)] as Buffer));
}

process.on('message', async (request: ClientRequest) => {
  let answer: ClientAnswer;
  try {
    answer = { result: await perform(request) };
  } catch (error) {
    answer = { error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
  process.send?.(answer);
});
process.on('disconnect', () => process.exit(0));
