/**
 * A fleet as real processes for tests: free ports, a data folder of its own that goes when the fleet goes, quick elections.
 * What it adds to `startFleetProcesses` of the runtime: where the services are, a temporary folder, a connected client, and
 * waiting until every broker is in service.
 */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Client, connect } from '@fleetmq/client/node';
import { DomainError } from '@fleetmq/shared';
import { type FleetProcesses, type FleetRole, startFleetProcesses } from '@fleetmq/shared/runtime/fleet';

export interface TestFleetOptions {
  /** Default 3. */
  readonly controllers?: number;
  /** Default 3. */
  readonly brokers?: number;
  /** Default true. */
  readonly gateway?: boolean;
  /** Default: a temporary one that is removed at the end, unless FLEETMQ_KEEP_DATA is set. */
  readonly dataFolder?: string;
  /** More flags per role, such as `--log.level=debug`. */
  readonly flags?: Partial<Readonly<Record<FleetRole, readonly string[]>>>;
  /** Until every broker is in service. Default 60 s. */
  readonly startTimeoutMs?: number;
}

export interface TestFleet extends AsyncDisposable {
  readonly processes: FleetProcesses;
  /** Base URL of the gateway. */
  readonly url: string;
  /** `host:port` of the brokers' client listeners. */
  readonly brokers: readonly string[];
  /** Through the gateway; closed with the fleet. Without a gateway it goes to the brokers. */
  readonly client: Client;
  /** Resolves when so many brokers are in service. TIMEOUT after `timeoutMs` (default 30 s). */
  waitForActiveBrokers(count: number, timeoutMs?: number): Promise<void>;
}

/** `BROKER_STATE_ACTIVE`. */
const active = 2;

/** Starts `controllers`, `brokers` and a gateway as processes; resolves when every broker is in service. */
export async function startTestFleet(options: TestFleetOptions = {}): Promise<TestFleet> {
  await using stack = new AsyncDisposableStack();
  const { controllers = 3, brokers = 3, gateway = true, startTimeoutMs = 60_000 } = options;
  const dataFolder = options.dataFolder ?? temporaryFolder(stack);
  const processes = stack.use(
    await startFleetProcesses({
      controllers,
      brokers,
      gateway,
      dataFolder,
      entryPoint: mainOf,
      startTimeoutMs,
      ...(options.flags !== undefined && { flags: options.flags }),
    }),
  );
  const entrance = gateway ? { url: processes.url } : { brokers: processes.brokerAddresses };
  const client = stack.use(await connect({ ...entrance, timeoutMs: startTimeoutMs, clientId: 'testkit' }));
  await waitForActiveBrokers(client, brokers, startTimeoutMs);
  const owned = stack.move();
  return {
    processes,
    url: processes.url,
    brokers: processes.brokerAddresses,
    client,
    waitForActiveBrokers: (count, timeoutMs = 30_000) => waitForActiveBrokers(client, count, timeoutMs),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** `main.ts` of a service in the source tree. */
export function mainOf(role: FleetRole): string {
  return fileURLToPath(new URL(`../../../services/${role}/src/main.ts`, import.meta.url));
}

function temporaryFolder(stack: AsyncDisposableStack): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'fleetmq-'));
  if (process.env['FLEETMQ_KEEP_DATA'] === undefined) {
    stack.defer(() => fs.rmSync(folder, { recursive: true, force: true }));
  }
  return folder;
}

async function waitForActiveBrokers(client: Client, count: number, timeoutMs: number): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    const brokers = await client.admin.brokers({ timeoutMs: Math.max(1, deadlineMs - performance.now()) });
    const activeCount = brokers.filter(({ state }) => state === active).length;
    if (activeCount >= count) return;
    if (performance.now() >= deadlineMs) {
      throw new DomainError('TIMEOUT', `${activeCount} of ${count} brokers are in service after ${timeoutMs} ms`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
