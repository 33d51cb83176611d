/**
 * One controller without its listeners: storage, Raft driver, state machine and what hangs on them, wired together. What
 * happens in one part and concerns another goes through here: applied entries, changes of leadership, messages, failures.
 * Reads top to bottom as the order of the start; the stop runs backwards.
 */
import { memberIds } from '@fleetmq/raft';
import { DomainError } from '@fleetmq/shared';
import type { DataFolder } from '@fleetmq/shared/runtime';
import type { ControllerConfig } from '../config.ts';
import type { PeerAddress } from '../domain/peers.ts';
import { AddressBook } from './address-book.ts';
import type { NodePorts, Start } from './node-ports.ts';
import { createRaft, openStorage, type RaftParts } from './node-raft.ts';
import { createServices, type ServiceParts } from './node-services.ts';
import type { DiskRaftStorage } from './raft-storage.ts';
import { StateMachine } from './state-machine.ts';

export type { NodePorts } from './node-ports.ts';

export interface ControllerNode extends AsyncDisposable, RaftParts, ServiceParts {
  readonly controllerId: number;
  /** For reading only: the driver alone writes. */
  readonly storage: DiskRaftStorage;
  readonly stateMachine: StateMachine;
  /** Begins to take part. Once, when the listeners are open. */
  start(): void;
  /** Best effort: another voter leads before this one stops. */
  handOver(): Promise<void>;
}

export async function createNode(
  config: ControllerConfig,
  folder: DataFolder,
  endpoints: ReadonlyMap<number, PeerAddress>,
  ports: NodePorts,
): Promise<ControllerNode> {
  await using opened = new AsyncDisposableStack();
  const start: Start = { config, folder, endpoints, ports, opened };
  const storage = await openStorage(start);
  const stateMachine = new StateMachine(storage.currentSnapshot());
  requireKnown(storage, new AddressBook(endpoints, stateMachine.membership));
  const raft = await createRaft(start, storage, stateMachine);
  const services = createServices(start, stateMachine, raft);
  const { leadership, clusterName } = raft;
  stateMachine.addListener({
    onEvents: (events, version) => {
      services.feed.add(events, version);
      services.reassignments.onEvents(events);
      clusterName.check();
    },
    onRestore: () => {
      services.feed.reset();
      services.reassignments.onRestore();
      raft.confProposals.restored();
      clusterName.check();
    },
    onApplied: (entry, outcome) => {
      raft.proposals.settle(entry, outcome);
      raft.reads.applied(entry.index);
      leadership.applied(entry.term);
      raft.confProposals.applied(entry);
    },
    onMembership: (membership) => {
      raft.addresses.update(membership);
      raft.standing.check();
      services.feed.membersChanged();
    },
  });
  clusterName.check();
  raft.standing.check();
  const parts = opened.move();
  return {
    controllerId: config.node.id,
    storage,
    stateMachine,
    ...raft,
    ...services,
    start: () => raft.driver.start(),
    handOver: () => handOver(start, raft),
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}

async function handOver({ config, ports }: Start, { leadership, quorum, driver }: RaftParts): Promise<void> {
  if (!leadership.isReady || driver.confState.voters.length === 1) return;
  const late = new AbortController();
  const tooLate = new DomainError('TIMEOUT', 'the leadership was not handed over in time');
  const timer = ports.timers.after(2 * config.raft['election-timeout-ms'], () => late.abort(tooLate));
  try {
    await quorum.transferLeadership(0, late.signal);
  } catch (error) {
    ports.logger.info({ error }, 'the leadership was not handed over: the others will elect');
  } finally {
    timer.cancel();
  }
}

function requireKnown(storage: DiskRaftStorage, addresses: AddressBook): void {
  const missing = memberIds(storage.initialState().confState).filter((id) => addresses.get(id) === undefined);
  if (missing.length === 0) return;
  throw new DomainError('INVALID_CONFIG', `quorum.peers lacks controller ${missing.join(', ')}, which votes or learns`);
}
