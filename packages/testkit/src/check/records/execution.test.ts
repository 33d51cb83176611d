import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { seededRandom } from '@fleetmq/shared';
import fc from 'fast-check';
import { checkRecords } from './check-records.ts';
import { Execution } from './execution.fuzz.ts';
import { type FindingName, findingNames } from './findings.ts';
import { plants } from './planted.fuzz.ts';

const steps = 300;
const seed = fc.integer();

describe('random executions', () => {
  test('a correct one has no finding', () => {
    let exempt = 0;
    const property = fc.property(seed, (each) => {
      const { findings, anomalies, counts } = checkRecords(new Execution(each).run(steps).events);
      assert.deepEqual(findings, []);
      assert.ok(counts.acknowledged > 10 && counts.unknown > 0 && counts.failed > 0, JSON.stringify(counts));
      exempt += anomalies['lost-write'].exempt + anomalies.unseen.exempt;
    });
    fc.assert(property, { numRuns: 200 });
    assert.ok(exempt > 200, 'acknowledgments of the lower levels were lost');
  });

  for (const [name, plant] of Object.entries(plants) as [FindingName, (typeof plants)['unseen'] & object][]) {
    test(`a planted ${name} is found`, () => {
      let planted = 0;
      const property = fc.property(seed, (each) => {
        const events = structuredClone(new Execution(each).run(steps).events);
        if (!plant(events, seededRandom(each))) return;
        planted++;
        const { anomalies } = checkRecords(events);
        const found = findingNames.filter((other) => anomalies[other].found > 0);
        assert.ok(found.includes(name), `found: ${found.join(', ')}`);
      });
      fc.assert(property, { numRuns: 40 });
      assert.ok(planted >= 10, `planted ${planted} times`);
    });
  }
});
