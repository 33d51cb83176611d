/** What a node serves brokers, gateways and operators with, on top of its consensus. */
import type { MetadataImage } from '@fleetmq/metadata';
import type { LogIndex } from '@fleetmq/shared';
import { defaultPlanLimits } from '../domain/plan.ts';
import { BrokerSessions } from './broker-sessions.ts';
import { FeatureAdmin } from './feature-admin.ts';
import { LeaderAdmin } from './leader-admin.ts';
import { LeaderView } from './leader-view.ts';
import { MetadataFeed } from './metadata-feed.ts';
import type { Start } from './node-ports.ts';
import type { RaftParts } from './node-raft.ts';
import { ReassignmentAdmin } from './reassignment-admin.ts';
import type { StateMachine } from './state-machine.ts';
import { TopicAdmin } from './topic-admin.ts';

export interface ServiceParts {
  readonly leader: LeaderView;
  readonly topics: TopicAdmin;
  readonly reassignments: ReassignmentAdmin;
  readonly features: FeatureAdmin;
  readonly sessions: BrokerSessions;
  readonly leaders: LeaderAdmin;
  readonly feed: MetadataFeed;
}

export function createServices(
  { config, ports, opened }: Start,
  stateMachine: StateMachine,
  { leadership, proposals, reads, addresses, ask }: RaftParts,
): ServiceParts {
  const { clock, timers, random, logger } = ports;
  const { limits } = config;
  const view = (): MetadataImage => stateMachine.image;
  const feed = new MetadataFeed({
    view,
    pages: () => stateMachine.pages,
    leadership,
    controllers: () => addresses.addresses(),
    timers,
    logger,
    historyEventsMax: limits['watch-history-events'],
    partBytesMax: 256 * 1024,
    answerEventsMax: 1_000,
    heartbeatMs: 2_000,
    patienceMs: 5_000,
    watchersMax: limits.watches,
  });
  const appliedIndex = (): LogIndex => stateMachine.appliedIndex;
  const leader = new LeaderView({ image: view, leadership, reads });
  const common = { leader, appliedIndex, leadership, proposals };
  const topics = new TopicAdmin({
    ...common,
    random,
    limits: {
      ...defaultPlanLimits,
      partitionsPerTopicMax: limits['partitions-per-topic'],
      partitionsMax: limits.partitions,
      topicsMax: limits.topics,
    },
  });
  const sessionTimeoutMs = config.broker['session-timeout-ms'];
  const reassignments = new ReassignmentAdmin({ ...common, random });
  const sessions = opened.use(
    new BrokerSessions({
      ...{ view, leader, leadership, proposals, clock, timers, logger, sessionTimeoutMs },
      onMoving: (beat) => reassignments.onMoving(beat, beat.moving),
    }),
  );
  const leaders = opened.use(
    new LeaderAdmin({
      ...{ leader, leadership, proposals, timers, logger },
      balanceIntervalMs: config.balance['interval-ms'],
      imbalancePercentMax: config.balance['imbalance-percent'],
    }),
  );
  const features = new FeatureAdmin({
    ...common,
    image: view,
    reads,
    controllerId: config.node.id,
    members: () => addresses.addresses(),
    ask,
    logger,
  });
  return { leader, feed, topics, reassignments, features, sessions, leaders };
}
