/**
 * Where each controller is reached: what the controllers have agreed on, else what `quorum.peers` says, which is how a quorum
 * begins. Who is among the agreed members, and nobody else, is listed once there are any.
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
    const agreed = this.#agreed.get(controllerId);
    return agreed === undefined || agreed.port === 0 ? this.#given.get(controllerId) : agreed;
  }

  /** By id. */
  addresses(): readonly PeerAddress[] {
    const ids = this.#agreed.size > 0 ? this.#agreed.keys() : this.#given.keys();
    return [...ids].map((id) => this.get(id)).filter((address) => address !== undefined);
  }
}
