/** What a broker says of itself, in readiness and grpc.health.v1, by the state that the controllers have it in. */
import type { HealthState, Readiness } from '@fleetmq/shared/runtime';
import type { LinkState } from './controller-link.ts';
import type { NodeListener } from './node.ts';

/** Conditions of readiness, in the order in which they come true. */
export const condition = { registered: 'registered', caughtUp: 'metadata caught up', inService: 'in service' } as const;

export class ServiceState implements NodeListener {
  readonly #readiness: Readiness;
  readonly #health: HealthState;
  #services: readonly string[] = [];
  #isStopping = false;

  constructor(readiness: Readiness, health: HealthState) {
    this.#readiness = readiness;
    this.#health = health;
  }

  serves(services: readonly string[]): void {
    this.#services = services;
    this.onLinkState('starting');
  }

  onStop(): void {
    this.#isStopping = true;
    this.#readiness.fail(condition.inService, 'stopping');
    this.#health.setAll('not_serving');
  }

  onRegistered(): void {
    this.#readiness.pass(condition.registered);
  }

  onCaughtUp(): void {
    this.#readiness.pass(condition.caughtUp);
  }

  onLinkState(state: LinkState): void {
    if (this.#isStopping) return;
    const isActive = state === 'active';
    if (isActive) this.#readiness.pass(condition.inService);
    else this.#readiness.fail(condition.inService, state);
    for (const service of this.#services) this.#health.set(service, isActive ? 'serving' : 'not_serving');
  }
}
