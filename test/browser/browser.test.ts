/**
 * A page in a real browser, using nothing but connect-web and gen/: one tab creates a topic and produces, another tab tails
 * it live, over Connect and over gRPC-Web, from another origin than the gateway's (so CORS is part of the test).
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startTestFleet, type TestFleet } from '@fleetmq/testkit';
import { build } from 'esbuild';
import { type Browser, chromium, type Page } from 'playwright-core';

const executablePath = [process.env['CHROMIUM'], '/usr/bin/chromium', '/usr/bin/chromium-browser'].find(
  (path) => path !== undefined && existsSync(path),
);

const chromiumFlags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Serves a bundled page; returns its URL. */
async function servePage(program: string): Promise<{ server: Server; url: string }> {
  const bundle = await build({
    entryPoints: [fileURLToPath(new URL(program, import.meta.url))],
    bundle: true,
    write: false,
    format: 'iife',
    platform: 'browser',
    target: 'es2022',
  });
  const script = bundle.outputFiles[0]?.text ?? '';
  const server = createServer((request, response) => {
    const isScript = request.url?.startsWith('/page.js') === true;
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
    response.end(isScript ? script : '<!doctype html><title>tail</title><script src="/page.js"></script>');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` };
}

interface RoundTrip {
  readonly produced: number;
  readonly values: string[];
}

type Driven = { page: { seen: string[] } & Record<string, (...args: unknown[]) => unknown> };

describe('a page in Chromium', { skip: executablePath ? false : 'Chromium is not installed' }, () => {
  let fleet: TestFleet;
  let browser: Browser;
  let site: Awaited<ReturnType<typeof servePage>>;
  let clientSite: Awaited<ReturnType<typeof servePage>>;

  before(async () => {
    fleet = await startTestFleet({ controllers: 1, brokers: 1 });
    site = await servePage('./page.ts');
    clientSite = await servePage('./client-page.ts');
    browser = await chromium.launch({ executablePath: executablePath as string, headless: true, args: chromiumFlags });
  });

  after(async () => {
    await browser.close();
    site.server.close();
    clientSite.server.close();
    await fleet[Symbol.asyncDispose]();
  });

  async function openTab(protocol: string, url = site.url): Promise<Page> {
    const tab = await browser.newPage();
    await tab.goto(`${url}?protocol=${protocol}&gateway=${encodeURIComponent(fleet.url)}`);
    return tab;
  }

  for (const protocol of ['connect', 'grpc-web']) {
    test(`creates a topic, produces, and live-tails it from another tab over ${protocol}`, async () => {
      const topic = `page-${protocol}`;
      const writer = await openTab(protocol);
      const reader = await openTab(protocol);
      const partitions = await writer.evaluate(
        (name) => (window as unknown as Driven).page['createTopic']?.(name),
        topic,
      );
      assert.equal(partitions, 1);
      await reader.evaluate((name) => void (window as unknown as Driven).page['tail']?.(name), topic);
      for (const values of [['a', 'b'], ['c']]) {
        const send = ([name, list]: [string, string[]]) => (window as unknown as Driven).page['produce']?.(name, list);
        await writer.evaluate(send, [topic, values] as [string, string[]]);
        const last = values.at(-1) as string;
        const hasSeen = (value: string) => (window as unknown as Driven).page.seen.includes(value);
        await reader.waitForFunction(hasSeen, last, { timeout: 20_000 });
      }
      assert.deepEqual(await reader.evaluate(() => (window as unknown as Driven).page.seen), ['a', 'b', 'c']);
      await reader.evaluate(() => void (window as unknown as Driven).page['stop']?.());
      await writer.close();
      await reader.close();
    });

    test(`uses the client of Node's own interface over ${protocol}`, async () => {
      const tab = await openTab(protocol, clientSite.url);
      const run = (topic: string) =>
        (window as unknown as { roundTrip(topic: string, count: number): Promise<RoundTrip> }).roundTrip(topic, 500);
      const { produced, values } = await tab.evaluate(run, `client-${protocol}`);
      assert.equal(produced, 500);
      assert.deepEqual(values.toSorted(), Array.from({ length: 500 }, (_, i) => `value ${i}`).toSorted());
      await tab.close();
    });
  }
});
