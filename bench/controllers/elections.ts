/**
 * The leader of the controllers is killed with SIGKILL, again and again. Three clocks run from the kill: until a controller says
 * that it leads, until one acknowledges a write (asked every 10 ms, at both that are left), and until a write that a broker or
 * gateway began at the moment of the kill is answered, with its own way of finding the leader.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { AdminService } from '@fleetmq/gen/controller/admin';
import { isDomainError } from '@fleetmq/shared';
import type { ServiceProcess } from '@fleetmq/shared/runtime/fleet';
import { quantile } from '../statistics.ts';
import { ControllerFleet } from './fleet.ts';
import { type PartOptions, say } from './part.ts';
import { readMetric } from './process-figures.ts';
import { formatCount, type PartResult } from './report.ts';

const topic = 'bench-elections';
const pollMs = 10;
/** The default of `raft.election-timeout-ms`. */
const electionTimeoutMs = 1_000;

/** Milliseconds from the kill. */
interface Round {
  readonly leaderMs: number;
  readonly writeMs: number;
  readonly clientMs: number;
}

export async function measureElections({ folder, scale }: PartOptions): Promise<PartResult> {
  const roundCount = Math.max(3, Math.round(40 * scale));
  await using bench = await ControllerFleet.start({ folder });
  await bench.fleet.client.admin.createTopic(topic, { partitions: 1, replicationFactor: 1 });
  const rounds: Round[] = [];
  for (let number = 0; number < roundCount; number++) {
    if (number % 10 === 0) say(`  round ${number + 1} of ${roundCount}`);
    // So that kills do not keep step with heartbeats and ticks.
    await sleep(500 + ((number * 137) % 500));
    rounds.push(await oneRound(bench, number));
  }
  const row = (what: string, values: readonly number[]): string[] => {
    const times = [quantile(values, 0.5), quantile(values, 0.99), Math.max(...values)];
    return [what, ...times.map(formatCount), ...times.map((time) => (time / electionTimeoutMs).toFixed(2))];
  };
  return {
    figures: { electionTimeoutMs, rounds },
    tables: [
      {
        title: 'After SIGKILL of the leader',
        columns: ['until', 'p50 ms', 'p99 ms', 'max ms', 'p50', 'p99', 'max, in election timeouts'],
        rows: [
          row(
            'a controller says that it leads',
            rounds.map(({ leaderMs }) => leaderMs),
          ),
          row(
            'a metadata write is acknowledged',
            rounds.map(({ writeMs }) => writeMs),
          ),
          row(
            'a write that was begun at the kill is answered',
            rounds.map(({ clientMs }) => clientMs),
          ),
        ],
        note: `${roundCount} rounds, 3 controllers, default settings (election timeout 1 s, heartbeat 100 ms); asked every ${pollMs} ms.`,
      },
    ],
  };
}

async function oneRound(bench: ControllerFleet, number: number): Promise<Round> {
  await bench.caughtUp();
  const victim = await bench.leader();
  const survivors = bench.controllers.filter(({ id }) => id !== victim.id);
  await write(bench, number, 0);
  const startMs = performance.now();
  const ended = bench.fleet.processes.kill('controller', victim.id);
  const since = async (work: Promise<unknown>): Promise<number> => {
    await work;
    return performance.now() - startMs;
  };
  const [leaderMs, writeMs, clientMs] = await Promise.all([
    since(firstLeader(survivors)),
    since(firstWrite(bench, survivors, number)),
    since(write(bench, number, 1)),
  ]);
  await ended;
  await bench.fleet.processes.restart('controller', victim.id);
  return { leaderMs, writeMs, clientMs };
}

function write(bench: ControllerFleet, number: number, which: number): Promise<unknown> {
  return bench.calls.unary(AdminService.method.alterTopicConfig, change(number, which), { idempotent: true });
}

/** A value of its own each time: a command that changes nothing has no event. */
function change(number: number, which: number): { name: string; set: Record<string, string> } {
  return { name: topic, set: { 'retention.ms': String(1_000_000 + 10 * number + which) } };
}

async function firstLeader(survivors: readonly ServiceProcess[]): Promise<void> {
  for (;;) {
    const states = await Promise.all(survivors.map((each) => readMetric(each, 'fleetmq_raft_is_leader')));
    if (states.includes(1)) return;
    await sleep(pollMs);
  }
}

/** Resolves with the first write that any of them acknowledges. */
async function firstWrite(bench: ControllerFleet, survivors: readonly ServiceProcess[], number: number): Promise<void> {
  let isDone = false;
  const ask = async ({ listeners }: ServiceProcess): Promise<void> => {
    const transport = bench.pool.get(`http://127.0.0.1:${listeners['internal']?.port}`);
    while (!isDone) {
      try {
        const input = change(number, 2);
        await transport.unary(AdminService.method.alterTopicConfig, undefined, 5_000, undefined, input);
        isDone = true;
      } catch (error) {
        if (!isDomainError(error)) throw error;
        await sleep(pollMs);
      }
    }
  };
  await Promise.race(survivors.map(ask));
}
