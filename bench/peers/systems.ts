/** The systems that are compared, each with a promise: a row of the tables, a bar of the pictures. */
export interface System {
  readonly name: string;
  readonly title: string;
  readonly target: string;
  readonly entrance: string;
  /** Name of the FleetMQ that promises the same. Absent: it is that one. */
  readonly peerOf?: string;
}

export const oneNode: readonly System[] = [
  { name: 'fleetmq', title: 'FleetMQ', target: 'fleet-1', entrance: 'direct' },
  {
    name: 'redis-always',
    title: 'Redis Streams, always',
    target: 'redis-always',
    entrance: 'direct',
    peerOf: 'fleetmq',
  },
  {
    name: 'nats-always',
    title: 'NATS JetStream, always',
    target: 'nats-always',
    entrance: 'direct',
    peerOf: 'fleetmq',
  },
  { name: 'kafka-fsync', title: 'Kafka, flush.messages=1', target: 'kafka-1', entrance: 'fsync', peerOf: 'fleetmq' },
  { name: 'fleetmq-os-cache', title: 'FleetMQ, unsafe-os-cache', target: 'fleet-1', entrance: 'os-cache' },
  { name: 'redis', title: 'Redis Streams, everysec', target: 'redis', entrance: 'direct', peerOf: 'fleetmq-os-cache' },
  { name: 'nats', title: 'NATS JetStream', target: 'nats', entrance: 'direct', peerOf: 'fleetmq-os-cache' },
  { name: 'kafka', title: 'Kafka', target: 'kafka-1', entrance: 'default', peerOf: 'fleetmq-os-cache' },
];

export const threeNodes: readonly System[] = [
  { name: 'fleetmq-r3', title: 'FleetMQ', target: 'fleet-3', entrance: 'direct' },
  {
    name: 'kafka-fsync-r3',
    title: 'Kafka, flush.messages=1',
    target: 'kafka-3',
    entrance: 'fsync',
    peerOf: 'fleetmq-r3',
  },
  { name: 'fleetmq-os-cache-r3', title: 'FleetMQ, unsafe-os-cache', target: 'fleet-3', entrance: 'os-cache' },
  { name: 'kafka-r3', title: 'Kafka', target: 'kafka-3', entrance: 'default', peerOf: 'fleetmq-os-cache-r3' },
];
