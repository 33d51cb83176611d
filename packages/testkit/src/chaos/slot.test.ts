import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { createInterface } from 'node:readline';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { run } from './command.ts';
import { clients, cutBetween } from './links.ts';
import { PrivateNetwork } from './network.ts';
import { missingRequirement } from './requirements.ts';
import { claimSlot, leftoversOf } from './slot.ts';

const missing = await missingRequirement();

describe('slots', { skip: missing ?? false, timeout: 60_000 }, () => {
  test('two runs do not share one, and each leaves nothing behind', async () => {
    const prefixes: string[] = [];
    {
      await using one = await claimSlot();
      await using other = await claimSlot();
      assert.notEqual(one.prefix, other.prefix);
      for (const slot of [one, other]) {
        await PrivateNetwork.create(slot, ['c1']);
        prefixes.push(slot.prefix);
        assert.ok((await leftoversOf(slot)).length >= 3);
      }
    }
    for (const prefix of prefixes) assert.deepEqual(await leftoversOf({ prefix }), []);
  });

  test('links are cut and healed', async () => {
    await using slot = await claimSlot();
    const network = await PrivateNetwork.create(slot, ['c1', 'c2']);
    const [program, ...through] = network.through('c1');
    const rules = async () => await run(program as string, [...through, 'nft', 'list', 'ruleset']);
    await network.inject('one', { cuts: cutBetween(['c1'], ['c2']) });
    await network.inject('two', { cuts: cutBetween(['c1'], [clients]) });
    assert.match(
      await rules(),
      new RegExp(`saddr ${network.addressOf('c2')} drop[^]*daddr ${network.addressOf(clients)} drop`),
    );
    await network.heal('one');
    assert.doesNotMatch(await rules(), new RegExp(`saddr ${network.addressOf('c2')} drop`));
    await network.healAll();
    assert.doesNotMatch(await rules(), /drop/);
  });

  test('what a killed run leaves is removed without it', async () => {
    const entryPoint = fileURLToPath(new URL('./slot-fixture.ts', import.meta.url));
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', entryPoint], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
    const { prefix, pid } = JSON.parse(line) as { prefix: string; pid: number };
    assert.ok((await leftoversOf({ prefix })).length >= 6);
    assert.ok(fs.existsSync(`/proc/${pid}`));
    child.kill('SIGKILL');
    const deadlineMs = performance.now() + 20_000;
    while ((await leftoversOf({ prefix })).length > 0) {
      assert.ok(performance.now() < deadlineMs, `still there: ${await leftoversOf({ prefix })}`);
      await delay(50);
    }
    assert.equal(fs.existsSync(`/proc/${pid}/exe`), false);
  });
});
