import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DomainError, type LogIndex, type Term } from '@fleetmq/shared';
import { nodeClock, nodeTimers } from '@fleetmq/shared/runtime';
import type { SetClusterId } from '../domain/commands.ts';
import { LeadershipState } from './leadership.ts';
import { Proposals, type ProposalsOptions } from './propose.ts';

const command: SetClusterId = { kind: 'set-cluster-id', clusterId: 'c', features: new Map() };
const endpoints = new Map([[2, { controllerId: 2, host: '10.0.0.2', port: 7621 }]]);

class Fixture {
  readonly leadership = new LeadershipState(endpoints, { role: 'StateFollower', leaderId: 2, term: 4 as Term });
  readonly places: { index: LogIndex; term: Term }[] = [];
  refusal: DomainError | undefined;
  drop: DomainError | undefined;
  readonly proposals: Proposals;

  constructor(options: Partial<ProposalsOptions> = {}) {
    this.proposals = new Proposals({
      driver: {
        propose: () => {
          if (this.drop !== undefined) return this.drop;
          const place = { index: (10 + this.places.length) as LogIndex, term: this.leadership.term };
          this.places.push(place);
          return place;
        },
      },
      leadership: this.leadership,
      clock: nodeClock,
      timers: nodeTimers,
      pendingMax: 2,
      timeoutMs: 10_000,
      commandBytesMax: 1_000,
      refusal: () => this.refusal,
      ...options,
    });
  }

  lead(): void {
    this.leadership.update({ role: 'StateLeader', leaderId: 1, term: 5 as Term });
    this.leadership.applied(5 as Term);
  }
}

const hasCode = (code: string) => (error: unknown) => error instanceof DomainError && error.code === code;
const ok = { events: [], result: undefined } as const;

describe('proposals', () => {
  test('followers name the leader; a leader that has not applied its term asks to wait', async () => {
    const fixture = new Fixture();
    await assert.rejects(fixture.proposals.propose(command), (error) => {
      return hasCode('NOT_LEADER')(error) && (error as DomainError).leaderHint === '2@10.0.0.2:7621';
    });
    fixture.leadership.update({ role: 'StateLeader', leaderId: 1, term: 5 as Term });
    await assert.rejects(fixture.proposals.propose(command), hasCode('NOT_AVAILABLE'));
    fixture.leadership.applied(4 as Term);
    await assert.rejects(fixture.proposals.propose(command), hasCode('NOT_AVAILABLE'));
    fixture.leadership.applied(5 as Term);
    const proposed = fixture.proposals.propose(command);
    fixture.proposals.settle({ index: 10 as LogIndex, term: 5 as Term }, ok);
    assert.equal(await proposed, undefined);
  });

  test('the state machine refuses: its error; another entry at the place: dropped for certain', async () => {
    const fixture = new Fixture();
    fixture.lead();
    const refused = fixture.proposals.propose(command);
    const error = new DomainError('WRONG_CLUSTER', 'no');
    fixture.proposals.settle({ index: 10 as LogIndex, term: 5 as Term }, { events: [], error });
    await assert.rejects(refused, hasCode('WRONG_CLUSTER'));
    const replaced = fixture.proposals.propose(command);
    fixture.proposals.settle({ index: 11 as LogIndex, term: 6 as Term }, ok);
    await assert.rejects(replaced, hasCode('PROPOSAL_DROPPED'));
  });

  test('P5: when the leadership, the time or the caller ends first, the outcome is unknown', async () => {
    const fixture = new Fixture();
    fixture.lead();
    const lost = fixture.proposals.propose(command);
    fixture.leadership.update({ role: 'StateFollower', leaderId: 2, term: 6 as Term });
    await assert.rejects(lost, (error) => hasCode('TIMEOUT')(error) && (error as DomainError).outcomeUnknown);
    const slow = new Fixture({ timeoutMs: 5 });
    slow.lead();
    await assert.rejects(slow.proposals.propose(command), hasCode('TIMEOUT'));
    const caller = new AbortController();
    slow.lead();
    const abandoned = slow.proposals.propose(command, caller.signal);
    caller.abort();
    await assert.rejects(abandoned, hasCode('TIMEOUT'));
  });

  test('bounded in number and size; refused when the core or the disk refuses', async () => {
    const fixture = new Fixture();
    fixture.lead();
    const waiting = [fixture.proposals.propose(command), fixture.proposals.propose(command)];
    await assert.rejects(fixture.proposals.propose(command), hasCode('LIMIT_EXCEEDED'));
    fixture.proposals.close();
    for (const each of waiting) await assert.rejects(each, hasCode('TIMEOUT'));
    const long = { ...command, clusterId: 'c'.repeat(2_000) };
    await assert.rejects(fixture.proposals.propose(long), hasCode('REQUEST_TOO_LARGE'));
    fixture.drop = new DomainError('PROPOSAL_DROPPED', 'transfer under way');
    await assert.rejects(fixture.proposals.propose(command), hasCode('PROPOSAL_DROPPED'));
    fixture.refusal = new DomainError('DISK_FULL', 'full');
    await assert.rejects(fixture.proposals.propose(command), hasCode('DISK_FULL'));
  });
});
