/**
 * Where each controller is reached: what the controllers have agreed on, else `quorum.peers`, which is only how a quorum
 * begins. The agreed members replace the given list as a whole once there are any.
 */
import type { Member, Membership } from '../domain/membership.ts';
import type { PeerAddress } from '../domain/peers.ts';

export class AddressBook {
  readonly #given: ReadonlyMap<number, PeerAddress>;
  #agreed: ReadonlyMap<number, Member> = new Map();

  /** `given` stays the caller's, who may correct it. */
  constructor(given: ReadonlyMap<number, PeerAddress>, membership: Membership) {
    this.#given = given;
    this.update(membership);
  }

  update({ members }: Membership): void {
    this.#agreed = new Map(members.map((each) => [each.controllerId, each]));
  }

  get(controllerId: number): PeerAddress | undefined {
    return this.#inForce.get(controllerId);
  }

  /** By id. */
  addresses(): readonly PeerAddress[] {
    return [...this.#inForce.values()];
  }

  get #inForce(): ReadonlyMap<number, PeerAddress> {
    return this.#agreed.size > 0 ? this.#agreed : this.#given;
  }
}
