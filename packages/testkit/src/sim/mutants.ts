/** Planted bugs: each turns one rule of Raft, of its disk or of the metadata off, and must be caught by an invariant. */
import { durabilityMutants } from './mutants/durability.ts';
import { electionMutants } from './mutants/elections.ts';
import { memberMutants } from './mutants/members.ts';
import { metadataMutants } from './mutants/metadata.ts';
import type { Mutant } from './mutants/mutant.ts';
import { replicationMutants } from './mutants/replication.ts';

export const mutants: readonly Mutant[] = [
  ...electionMutants,
  ...replicationMutants,
  ...durabilityMutants,
  ...memberMutants,
  ...metadataMutants,
];
