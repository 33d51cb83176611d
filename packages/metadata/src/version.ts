/** The version of the contract. A major says what calls mean; minor and patch never lead to a refusal. */
import { DomainError, readMessage, readUint32, visitFields, type WireReader } from '@fleetmq/shared';

/** Highest version of the contract that this code speaks. */
export const apiVersion = { major: 1, minor: 0, patch: 0 } as const;

/** UNSUPPORTED_VERSION for a major above ours. 0 stands for an absent version, which is 1.0.0. */
export function assertMajor(major: number): void {
  if (major <= apiVersion.major) return;
  throw new DomainError(
    'UNSUPPORTED_VERSION',
    `version ${major} of the contract is not spoken here; versions 1.0.0 to ${apiVersion.major}.x are`,
  );
}

/** Reads the `version` of a request (rustmq.common.ApiVersion) and checks it with `assertMajor`. */
export function readVersion(reader: WireReader): void {
  visitFields(readMessage(reader, 'version'), (field, value) => {
    if (field === 1) assertMajor(readUint32(value, 'version.major'));
  });
}
