/**
 * Plays a service in the tests of fleet-processes.ts: prints the ready line, answers SIGTERM, or fails as its flags say. Notes
 * start and end in `journal`, so that a test sees the order.
 */
import * as fs from 'node:fs';

const flags = new Map(process.argv.slice(2).map((flag) => flag.replace(/^--/, '').split('=', 2) as [string, string]));
const flag = (name: string): string => flags.get(name) ?? '';
const name =
  flag('quorum.peers') !== ''
    ? `controller-${flag('node.id')}`
    : flag('data.folder') === ''
      ? 'gateway'
      : `broker-${flag('node.id')}`;
const note = (what: string): void => fs.appendFileSync(flag('journal'), `${what} ${name}\n`);

if (flag('fail') === name) {
  process.stderr.write('{"level":"info"}\nfleetmq broker: port in use: something listens on 127.0.0.1:1 already\n');
  process.exit(3);
}
const listener = (which: string) => ({
  host: flag(`listen.${which}.host`),
  port: Number(flag(`listen.${which}.port`)),
});
// How it was started, in the form that the ready line has room for.
const told = { rack: { host: flag('node.rack'), port: 0 }, env: { host: process.env['FIXTURE_LIFE'], port: 0 } };
// Before the ready line: whoever has read it may send SIGTERM at once.
process.on('SIGTERM', () => {
  note('stop');
  process.exit(0);
});
note('start');
process.stdout.write(`noise\n${JSON.stringify({ ready: true, listeners: { ops: listener('ops'), ...told } })}\n`);
setInterval(() => undefined, 60_000);
