import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { loopbackOrigins, originMatcher } from './origins.ts';

describe('origins', () => {
  const cases: readonly (readonly [readonly string[], string, boolean])[] = [
    [loopbackOrigins, 'http://localhost:5173', true],
    [loopbackOrigins, 'http://localhost', true],
    [loopbackOrigins, 'http://127.0.0.1:8080', true],
    [loopbackOrigins, 'http://[::1]:8080', true],
    [loopbackOrigins, 'http://localhost.evil.example:80', false],
    [loopbackOrigins, 'http://evil.example', false],
    [loopbackOrigins, 'null', false],
    [loopbackOrigins, 'file://', false],
    [loopbackOrigins, '', false],
    [loopbackOrigins, 'http://localhost:*', false],
    [['https://console.example'], 'https://console.example', true],
    [['https://console.example'], 'http://console.example', false],
    [['https://console.example'], 'https://console.example:8443', false],
    [['https://console.example:8443'], 'https://console.example:8443', true],
    [[], 'http://localhost', false],
  ];
  for (const [allowed, origin, expected] of cases) {
    test(`"${origin}" is ${expected ? 'allowed' : 'refused'} by [${allowed.join(', ')}]`, () => {
      assert.equal(originMatcher(allowed)(origin), expected);
    });
  }

  for (const entry of ['*', 'https://*.example', 'localhost', 'http://a/b', 'ftp://a', 'null']) {
    test(`"${entry}" cannot be configured`, () => {
      assert.throws(() => originMatcher([entry]), { code: 'INVALID_CONFIG' });
    });
  }
});
