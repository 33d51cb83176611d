/** The controllers' membership as bytes in the log (the context of a configuration change) and in snapshots, both ways. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { type RaftMembership, RaftMembershipSchema, type RaftPeer, RaftPeerSchema } from '@fleetmq/gen/controller/raft';
import { DomainError } from '@fleetmq/shared';
import { type Member, type Membership, noMembership } from '../domain/membership.ts';

export function membershipToProto({ members, promoting, retired, replacing }: Membership): RaftMembership {
  return create(RaftMembershipSchema, {
    peers: members.map(memberToProto),
    promoting: [...promoting],
    retired: retired.map(memberToProto),
    replacing: replacing.map(({ controllerId, replacedId }) => ({ controllerId, replacedId })),
  });
}

export function membershipFromProto(message: RaftMembership | undefined): Membership {
  if (message === undefined) return noMembership;
  const { peers, promoting, retired, replacing } = message;
  return {
    members: peers.map(memberFromProto),
    promoting,
    retired: retired.map(memberFromProto),
    replacing: replacing.map(({ controllerId, replacedId }) => ({ controllerId, replacedId })),
  };
}

export function encodeMembership(membership: Membership): Uint8Array {
  return toBinary(RaftMembershipSchema, membershipToProto(membership));
}

/** INVALID_REQUEST for bytes that are no membership. */
export function decodeMembership(bytes: Uint8Array): Membership {
  let message: RaftMembership;
  try {
    message = fromBinary(RaftMembershipSchema, bytes);
  } catch (cause) {
    throw new DomainError('INVALID_REQUEST', 'a configuration change has a context that is no membership', { cause });
  }
  return membershipFromProto(message);
}

export function memberToProto({ controllerId, diskId, host, port }: Member): RaftPeer {
  return create(RaftPeerSchema, { controllerId, diskId, host, port });
}

export function memberFromProto({ controllerId, diskId, host, port }: RaftPeer): Member {
  return { controllerId, diskId, host, port };
}
