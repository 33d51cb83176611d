import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { isDomainError } from '@fleetmq/shared';
import { z } from 'zod';
import { type ConfigInputs, configJsonSchema, formatConfig, loadConfig } from './config.ts';
import { secret } from './config-schema.ts';

const schema = z.object({
  node: z.object({
    id: z
      .number()
      .int()
      .min(1)
      .max(2 ** 31 - 1),
    rack: z.string().default(''),
  }),
  listen: z.object({
    clientHost: z.string().default('127.0.0.1'),
    clientPort: z.number().int().min(0).max(65_535).default(7610).describe('Port for clients.'),
    exclusive: z.boolean().default(true),
  }),
  limits: z.object({ batchBytesMax: z.number().int().min(1024).default(1_048_576) }),
  security: z.object({
    mode: z.enum(['open', 'secured']).default('open'),
    adminPassword: secret(z.string().min(8)).optional(),
  }),
  controllers: z.array(z.string()).default([]),
  weights: z.array(z.number()).default([1]),
  tags: z.record(z.string(), z.string()).default({}),
});

const folder = mkdtempSync(join(tmpdir(), 'fleetmq-config-'));
after(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
function newFile(content: string): string {
  const path = join(folder, `${++files}.yaml`);
  writeFileSync(path, content);
  return path;
}

type Inputs = Omit<ConfigInputs<typeof schema>, 'schema'>;
const load = (inputs: Inputs) => loadConfig({ schema, ...inputs });

function problemsOf(inputs: Inputs): readonly string[] {
  try {
    load(inputs);
  } catch (error) {
    assert.ok(isDomainError(error) && error.code === 'INVALID_CONFIG', String(error));
    return error.message.split('\n');
  }
  return [];
}

describe('where values come from', () => {
  test('defaults fill what nobody sets', () => {
    const { config, origins } = load({ flags: ['--node.id=1'] });
    assert.deepEqual(config, {
      node: { id: 1, rack: '' },
      listen: { clientHost: '127.0.0.1', clientPort: 7610, exclusive: true },
      limits: { batchBytesMax: 1_048_576 },
      security: { mode: 'open' },
      controllers: [],
      weights: [1],
      tags: {},
    });
    assert.deepEqual(origins.get('listen.clientPort'), { kind: 'default', place: '' });
  });

  test('file < environment < flags, key by key', () => {
    const file = newFile('node:\n  id: 1\n  rack: f\nlisten:\n  clientPort: 1001\n  clientHost: file\n');
    const { config, origins } = load({
      file,
      environment: { FLEETMQ_LISTEN_CLIENT_PORT: '1002', FLEETMQ_NODE_RACK: 'e', PATH: '/bin' },
      flags: ['--listen.clientPort=1003'],
    });
    assert.equal(config.listen.clientHost, 'file');
    assert.equal(config.node.rack, 'e');
    assert.equal(config.listen.clientPort, 1003);
    assert.deepEqual(origins.get('listen.clientHost'), { kind: 'file', place: `${file}:6` });
    assert.deepEqual(origins.get('node.rack'), { kind: 'environment', place: 'FLEETMQ_NODE_RACK' });
    assert.deepEqual(origins.get('listen.clientPort'), { kind: 'flag', place: '--listen.clientPort' });
  });

  test('text becomes numbers, booleans, lists and maps', () => {
    const { config } = load({
      environment: {
        FLEETMQ_NODE_ID: '7',
        FLEETMQ_LISTEN_EXCLUSIVE: 'false',
        FLEETMQ_CONTROLLERS: 'a:1, b:2',
        FLEETMQ_WEIGHTS: '1,2.5',
        FLEETMQ_TAGS: '{zone: a}',
        FLEETMQ_NODE_RACK: '12',
      },
    });
    assert.equal(config.node.id, 7);
    assert.equal(config.node.rack, '12', 'a string stays one');
    assert.equal(config.listen.exclusive, false);
    assert.deepEqual(config.controllers, ['a:1', 'b:2']);
    assert.deepEqual(config.weights, [1, 2.5]);
    assert.deepEqual(config.tags, { zone: 'a' });
    assert.deepEqual(load({ flags: ['--node.id=1', '--controllers=', '--weights=[3, 4]'] }).config.weights, [3, 4]);
    assert.equal(load({ flags: ['--node.id=1', '--listen.exclusive'] }).config.listen.exclusive, true);
  });

  test('an empty file and an empty section are fine', () => {
    assert.equal(load({ file: newFile(''), flags: ['--node.id=1'] }).config.node.id, 1);
    assert.equal(load({ file: newFile('node:\n  id: 3\nlisten:\n') }).config.listen.clientPort, 7610);
  });
});

describe('problems', () => {
  test('an unknown key is named with its place and the nearest one', () => {
    const file = newFile('node:\n  id: 1\nlisten:\n  clientPrt: 1\nextra: 1\n');
    assert.deepEqual(
      problemsOf({
        file,
        environment: { FLEETMQ_LIMITS_BATCH_BYTE_MAX: '1', FLEETMQ_XYZ: '1' },
        flags: ['--listen.clienthost=x', '-v', '--nonsense'],
      }),
      [
        `unknown key listen.clientPrt in ${file}:4 (did you mean listen.clientPort?)`,
        `unknown key extra in ${file}:5`,
        'unknown key FLEETMQ_LIMITS_BATCH_BYTE_MAX in the environment (did you mean FLEETMQ_LIMITS_BATCH_BYTES_MAX?)',
        'unknown key FLEETMQ_XYZ in the environment',
        'unknown key --listen.clienthost in the flags (did you mean --listen.clientHost?)',
        'unexpected argument "-v": flags look like --section.key=value',
        'unknown key --nonsense in the flags',
      ],
    );
  });

  test('a value out of range is printed with its key and origin', () => {
    const [port, batch, mode, weight] = problemsOf({
      environment: { FLEETMQ_LISTEN_CLIENT_PORT: '70000', FLEETMQ_SECURITY_MODE: 'closed' },
      flags: ['--node.id=1', '--limits.batchBytesMax=lots', '--weights=1,x'],
    });
    assert.match(port ?? '', /^listen\.clientPort = 70000 \(environment FLEETMQ_LISTEN_CLIENT_PORT\): .*<=65535/);
    assert.match(mode ?? '', /^security\.mode = "closed" \(environment FLEETMQ_SECURITY_MODE\): .*"open"\|"secured"/);
    assert.match(batch ?? '', /^limits\.batchBytesMax = "lots" \(flag --limits\.batchBytesMax\): .*expected number/);
    assert.match(weight ?? '', /^weights\.1 = \[1,"x"\] \(flag --weights\): .*expected number/);
  });

  test('a required setting that nobody sets says how to set it', () => {
    assert.deepEqual(problemsOf({}), ['node.id has no value: set it by --node.id, FLEETMQ_NODE_ID, or in the file']);
  });

  test('a file that is absent, malformed or no map of sections', () => {
    assert.match(
      problemsOf({ file: join(folder, 'absent.yaml'), flags: ['--node.id=1'] })[0] ?? '',
      /cannot be read: ENOENT/,
    );
    assert.match(problemsOf({ file: newFile('a: [1'), flags: ['--node.id=1'] }).join(' '), /\.yaml: .*line 1/);
    assert.match(problemsOf({ file: newFile('a: 1\na: 2'), flags: ['--node.id=1'] })[0] ?? '', /must be unique/);
    assert.match(problemsOf({ file: newFile('- a'), flags: ['--node.id=1'] })[0] ?? '', /a map of sections/);
    assert.match(problemsOf({ file: newFile('node: 3') })[0] ?? '', /node in .*:1 is a section/);
  });

  test('variables of other programs can be named', () => {
    const environment = { FLEETMQ_NODE_ID: '1', FLEETMQ_CONFIG: 'x' };
    assert.equal(problemsOf({ environment }).length, 1);
    assert.deepEqual(problemsOf({ environment, ignoredVariables: ['FLEETMQ_CONFIG'] }), []);
  });
});

describe('secrets', () => {
  const path = newFile('correct horse\n');

  test('are read from a file, without its last line break, and never printed', () => {
    const loaded = load({ environment: { FLEETMQ_NODE_ID: '1', FLEETMQ_SECURITY_ADMIN_PASSWORD_FILE: path } });
    assert.equal(loaded.config.security.adminPassword, 'correct horse');
    const printed = formatConfig(loaded);
    assert.match(printed, /security\.adminPassword = \(secret\) +# environment FLEETMQ_SECURITY_ADMIN_PASSWORD_FILE/);
    assert.doesNotMatch(printed, /horse/);
  });

  test('are not printed by errors either', () => {
    const [problem] = problemsOf({ flags: ['--node.id=1', '--security.adminPassword=hunter2'] });
    assert.match(problem ?? '', /^security\.adminPassword = \(secret\) \(flag/);
    assert.doesNotMatch(problem ?? '', /hunter2/);
  });

  test('only they come from files, from one place, that can be read', () => {
    assert.match(
      problemsOf({ environment: { FLEETMQ_NODE_ID_FILE: path } })[0] ?? '',
      /only secrets are read from files/,
    );
    const both = { FLEETMQ_SECURITY_ADMIN_PASSWORD: 'x'.repeat(9), FLEETMQ_SECURITY_ADMIN_PASSWORD_FILE: path };
    assert.match(problemsOf({ environment: both })[0] ?? '', /are both set/);
    const absent = { FLEETMQ_SECURITY_ADMIN_PASSWORD_FILE: join(folder, 'absent') };
    assert.match(problemsOf({ environment: absent })[0] ?? '', /absent cannot be read: ENOENT/);
  });
});

test('the effective configuration prints every setting with its origin', () => {
  const lines = formatConfig(load({ environment: { FLEETMQ_NODE_ID: '1' } })).split('\n');
  assert.equal(lines.length, 11);
  assert.match(lines[0] ?? '', /^node\.id = 1 +# environment FLEETMQ_NODE_ID$/);
  assert.match(lines[3] ?? '', /^listen\.clientPort = 7610 +# default$/);
});

test('the JSON Schema describes the file', () => {
  const { properties } = configJsonSchema(schema) as {
    properties: { listen: { properties: Record<string, unknown> } };
  };
  assert.deepEqual(properties.listen.properties['clientPort'], {
    type: 'integer',
    minimum: 0,
    maximum: 65_535,
    default: 7610,
    description: 'Port for clients.',
  });
});
