/**
 * A disk that fails: the controller is started again under strace, which makes every fsync and fdatasync after the N-th of a
 * thread end with EIO without being carried out. Expected: the controller ends by itself soon after the first, acknowledges nothing
 * that was sent after that moment, and, started again without strace, takes part as before.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isDomainError } from '@fleetmq/shared';
import type { Cluster, Seat } from './cluster.ts';
import { between, type Fault, type FaultContext } from './fault.ts';
import type { Findings } from './findings.ts';

/** Without load a quorum syncs little: the prober writes 20 times a second. */
const endsWithinMs = 30_000;
/** From the failed call to the end of the driver. */
const noticeMs = 250;

export async function failFsync({ cluster, findings, prober, random }: FaultContext, seat: Seat): Promise<Fault> {
  // Of each of the four threads that sync; some 30 in all belong to the start.
  const first = Math.floor(between(random, 12, 40));
  const traceFile = path.join(cluster.logFolder, `strace-${seat.id}-${Date.now()}.log`);
  seat.mayEnd = true;
  seat.tracing = tracing(traceFile, first);
  const endedMs = await runUntilItEnds(cluster, seat);
  seat.tracing = undefined;
  const failedMs = firstFailureMs(traceFile);
  if (failedMs === undefined) {
    if (endedMs === undefined) findings.count('controllers that synced too little for an fsync to fail');
    else findings.add(`controller ${seat.id} ended under strace before any fsync failed; see its log`);
  } else if (endedMs === undefined) {
    findings.add(`controller ${seat.id} goes on although its fsync fails`);
  } else {
    findings.count(`controllers that ended within ${Math.ceil((endedMs - failedMs) / 500) / 2} s after a failed fsync`);
  }
  noteLateAcknowledgment(findings, seat, prober.lastSentMs.get(seat.id) ?? 0, failedMs);
  return {
    text: `fsync of controller ${seat.id} failed from the ${first}th of a thread on`,
    victims: [seat],
    endsLeadership: false,
    lastsMs: 0,
    mend: async () => {
      await cluster.start(seat);
      seat.mayEnd = false;
    },
  };
}

/** -D keeps the service the process that is signalled; io_uring would not go through these calls. */
function tracing(traceFile: string, first: number): readonly string[] {
  const calls = 'fdatasync,fsync';
  const inject = ['-e', `trace=${calls}`, '-e', `inject=${calls}:error=EIO:when=${first}+`];
  return ['env', 'UV_USE_IO_URING=0', 'strace', '-D', '-f', '-qq', '-ttt', '--seccomp-bpf', '-o', traceFile, ...inject];
}

/** When it ended; undefined: it did not. A start that fails is an end, too. */
async function runUntilItEnds(cluster: Cluster, seat: Seat): Promise<number | undefined> {
  try {
    await cluster.start(seat);
  } catch (error) {
    if (!isDomainError(error)) throw error;
    return performance.now();
  }
  const deadline = delay(endsWithinMs, undefined, { ref: false });
  const end = cluster.process(seat).ended.then(() => performance.now());
  return Promise.race([end, deadline]);
}

/** On the clock of `performance.now()`. */
function firstFailureMs(traceFile: string): number | undefined {
  const failed = /(\d+\.\d+) [^\n]*EIO[^\n]*INJECTED/.exec(fs.readFileSync(traceFile, 'utf8'));
  return failed === null ? undefined : Number(failed[1]) * 1_000 - performance.timeOrigin;
}

function noteLateAcknowledgment(findings: Findings, { id }: Seat, sentMs: number, failedMs: number | undefined): void {
  if (failedMs === undefined || sentMs <= failedMs + noticeMs) return;
  findings.add(
    `controller ${id} acknowledged a change that was sent ${(sentMs - failedMs).toFixed(0)} ms after its fsync failed`,
  );
}
