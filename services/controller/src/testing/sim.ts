/**
 * What the simulator takes of the controller: a node below its listeners, the calls that it serves, and the classes that
 * planted bugs patch from the outside. For `@fleetmq/testkit` alone.
 */
export { type ControllerConfig, controllerSchema } from '../config.ts';
export { applyCommand } from '../domain/apply.ts';
export type { MetadataCommand } from '../domain/commands.ts';
export { isRetired } from '../domain/membership.ts';
export { controllerRoutes } from '../rpc/routes.ts';
export { ConfProposals } from '../shell/conf-proposals.ts';
export type { Failpoint } from '../shell/failpoint.ts';
export { HardStateFiles } from '../shell/hard-state.ts';
export { LeadershipState } from '../shell/leadership.ts';
export { MetadataFeed } from '../shell/metadata-feed.ts';
export { type ControllerNode, createNode, type NodePorts } from '../shell/node.ts';
export { Proposals } from '../shell/propose.ts';
export { RaftDriver } from '../shell/raft-driver.ts';
export { RaftIdentity } from '../shell/raft-identity.ts';
export { RaftInbox } from '../shell/raft-inbox.ts';
export { DiskRaftStorage, type StorageWrite } from '../shell/raft-storage.ts';
export { RaftWal } from '../shell/raft-wal.ts';
export { SnapshotFiles } from '../shell/snapshot-files.ts';
export { SnapshotReceiver } from '../shell/snapshot-receiver.ts';
export { StateMachine } from '../shell/state-machine.ts';
export { decodeCommand, encodeCommand } from '../wire/commands.ts';
export { joinEntryData, splitEntryData } from '../wire/entry-data.ts';
export { encodeImage } from '../wire/snapshot.ts';
