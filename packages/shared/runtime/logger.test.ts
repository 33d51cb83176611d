import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DomainError } from '@fleetmq/shared';
import { createLogger, type LoggerOptions } from './logger.ts';

function capture(options: LoggerOptions = {}) {
  const lines: string[] = [];
  const logger = createLogger({ ...options, destination: { write: (line) => lines.push(line) } });
  const parsed = (): Record<string, unknown>[] => lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  return { logger, lines, parsed };
}

describe('the logger', () => {
  test('writes one JSON object a line, with its fields and the time', () => {
    const { logger, lines, parsed } = capture({ fields: { service: 'broker', node: 1 } });
    logger.info({ topic: 'orders' }, 'opened');
    logger.child({ part: 'log' }).warn({}, 'slow');
    assert.ok(lines.every((line) => line.endsWith('}\n') && line.indexOf('\n') === line.length - 1));
    const [first, second] = parsed();
    assert.match(String(first?.['time']), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    assert.deepEqual(
      { ...first, time: '' },
      { level: 'info', time: '', service: 'broker', node: 1, topic: 'orders', message: 'opened' },
    );
    assert.deepEqual(
      { ...second, time: '' },
      { level: 'warn', time: '', service: 'broker', node: 1, part: 'log', message: 'slow' },
    );
  });

  test('says only what its level lets through; children follow a change', () => {
    const { logger, lines } = capture();
    const child = logger.child({});
    child.debug({}, 'not yet');
    logger.level = 'debug';
    child.debug({}, 'now');
    child.level = 'error';
    logger.warn({}, 'no longer');
    logger.error({}, 'always');
    logger.level = 'silent';
    logger.error({}, 'never');
    assert.deepEqual(
      lines.map((line) => (JSON.parse(line) as { message: string }).message),
      ['now', 'always'],
    );
  });

  test('prints 64-bit numbers, at any depth', () => {
    const { logger, parsed } = capture();
    logger.info({ producerId: 7n, deep: { list: [1n] } }, 'x');
    assert.deepEqual(
      { ...parsed()[0], time: '' },
      { level: 'info', time: '', producerId: 7, deep: { list: [1] }, message: 'x' },
    );
  });

  test('prints errors with code, stack and causes', () => {
    const { logger, parsed } = capture();
    const cause = Object.assign(new Error('no space'), { code: 'ENOSPC' });
    logger.error({ error: new DomainError('DISK_FULL', 'cannot write a', { cause }) }, 'failed');
    const error = parsed()[0]?.['error'] as Record<string, unknown>;
    assert.equal(error['code'], 'DISK_FULL');
    assert.match(String(error['stack']), /logger\.test\.ts/);
    assert.deepEqual(
      { ...(error['cause'] as object), stack: '' },
      { name: 'Error', message: 'no space', code: 'ENOSPC', stack: '' },
    );
  });

  test('survives endless chains and circles', () => {
    const { logger, parsed } = capture();
    const error = new Error('loop');
    error.cause = error;
    const circle: Record<string, unknown> = {};
    circle['self'] = circle;
    logger.error({ error, circle }, 'x');
    assert.equal(parsed()[0]?.['message'], 'x');
  });

  test('never prints secrets', () => {
    const { logger, lines } = capture();
    logger.info(
      { password: 'p1', login: { password: 'p2', user: 'u' }, request: { headers: { authorization: 'p3' } } },
      'x',
    );
    logger.child({ token: 'p4' }).info({}, 'y');
    assert.doesNotMatch(lines.join(''), /p[1-4]/);
    assert.match(lines[0] ?? '', /"user":"u"/);
  });
});
