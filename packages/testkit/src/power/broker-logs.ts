/** What brokers have written about their logs: how often a recovery, a cut or a rebuild happened, and damage, which there must be none of. */
import * as fs from 'node:fs';
import * as path from 'node:path';

export interface BrokerLogs {
  /** How often each of these was said. */
  readonly counts: Readonly<Record<string, number>>;
  /** In words: data that were durable and cannot be read. */
  readonly damage: readonly string[];
}

/** Message, and what it is counted as. */
const told: Readonly<Record<string, string>> = {
  'a torn tail was cut': 'torn tails cut at a start',
  'the log is cut where it parts from its leader': 'followers cut back by leader epoch',
  'the log begins anew, as its leader asks': 'followers begun anew',
};

/** A broker that loses its power is stopped before its disk fails, and what it has synced is whole: there is no excuse. */
const damage: readonly unknown[] = ['a log has failed', 'a log that nobody was reading is damaged'];

export function readBrokerLogs(logFolder: string): BrokerLogs {
  const counts: Record<string, number> = {};
  const found: string[] = [];
  for (const name of fs.readdirSync(logFolder).filter((each) => each.startsWith('broker-'))) {
    for (const line of fs.readFileSync(path.join(logFolder, name), 'utf8').split('\n')) {
      const message = messageOf(line);
      const what = told[message];
      if (what !== undefined) counts[what] = (counts[what] ?? 0) + 1;
      if (damage.includes(message)) found.push(`${name}: ${line.slice(0, 500)}`);
    }
  }
  return { counts, damage: found };
}

/** Empty for what is no line of the logger, such as one that the power cut short. */
function messageOf(line: string): string {
  try {
    return (JSON.parse(line) as { readonly message?: string }).message ?? '';
  } catch {
    return '';
  }
}
