/**
 * What operators have asked about the members, and what they were told: a change that was answered stands in the log. It also
 * knows which requests may still be carried out, be it that nobody knows what became of them, or that the network holds one
 * back.
 */
import type { Configuration, Configurations } from './configurations.ts';
import { isMemberOf } from './configurations.ts';
import type { World } from './world.ts';

export type MemberRequestKind = 'add' | 'remove';

export interface MemberRequest {
  readonly kind: MemberRequestKind;
  readonly controllerId: number;
  /** What was committed when it was made. */
  readonly begin: number;
  /** Until then it may arrive, or be carried out. */
  openUntilMs: number;
}

/** After a caller has given up, a leader may still be about to propose. */
const graceMs = 8_000;

export class MemberHistory {
  readonly #world: World;
  readonly #asked = new Set<string>();
  #requests: MemberRequest[] = [];

  constructor(world: World) {
    this.#world = world;
  }

  asks(kind: MemberRequestKind, controllerId: number, begin: number): MemberRequest {
    const request = { kind, controllerId, begin, openUntilMs: Number.POSITIVE_INFINITY };
    this.#asked.add(`${kind} ${controllerId}`);
    this.#requests.push(request);
    return request;
  }

  /** It was answered (`isKnown`), or nobody knows what became of it. */
  ended(request: MemberRequest, isKnown: boolean): void {
    const { seed, scheduler } = this.#world;
    const { duplicateRate, straggleRate, straggleMs } = seed.network;
    const lateMs = (straggleRate > 0 ? straggleMs : 0) + graceMs;
    request.openUntilMs = scheduler.time.nowMs + (isKnown && duplicateRate === 0 ? 0 : lateMs);
  }

  /** Those that may still be carried out. */
  get open(): readonly MemberRequest[] {
    const { nowMs } = this.#world.scheduler.time;
    this.#requests = this.#requests.filter(({ openUntilMs }) => openUntilMs > nowMs);
    return this.#requests;
  }

  wasAsked(kind: MemberRequestKind, controllerId: number): boolean {
    return this.#asked.has(`${kind} ${controllerId}`);
  }

  /** It was answered with success. */
  succeeded({ kind, controllerId, begin }: MemberRequest, configurations: Configurations): void {
    const isThere = (each: Configuration): boolean => isMemberOf(each, controllerId) === (kind === 'add');
    if (configurations.since(begin).some(isThere)) return;
    const text = `to ${kind} controller ${controllerId} was answered, but no configuration says so`;
    this.#world.fail('safety', 'an answered change of the members is committed', text);
  }
}
