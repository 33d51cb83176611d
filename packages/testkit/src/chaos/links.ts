/**
 * Which links between nodes are cut, in which direction, and which nodes lose packets: the sum of all faults that are going
 * on, as a ruleset for each node's own firewall. Rules are text here; network.ts applies them.
 *
 * What is cut is dropped without a word, as by a broken cable: on arrival, or, on the way to clients, when it leaves.
 */

/** `c1`, `b1`, `gw`; `clients`: everybody on the host itself. */
export type NodeName = string;

export const clients: NodeName = 'clients';

export interface Cut {
  readonly from: NodeName;
  readonly to: NodeName;
}

export interface Loss {
  readonly node: NodeName;
  /** Of what comes and of what goes, 0 to 100. */
  readonly percent: number;
}

export interface LinkFault {
  readonly cuts?: readonly Cut[];
  readonly losses?: readonly Loss[];
}

/** Both directions of every pair of one side and the other. */
export function cutBetween(one: readonly NodeName[], other: readonly NodeName[]): readonly Cut[] {
  return one.flatMap((left) =>
    other.flatMap((right) => [
      { from: left, to: right },
      { from: right, to: left },
    ]),
  );
}

/** One direction alone. */
export function cutToward(from: readonly NodeName[], to: readonly NodeName[]): readonly Cut[] {
  return from.flatMap((left) => to.map((right) => ({ from: left, to: right })));
}

/** What nft is to read on this node: it replaces, at one stroke, what was before. */
export function rulesetOf(node: NodeName, faults: readonly LinkFault[], addressOf: (node: NodeName) => string): string {
  const cuts = faults.flatMap((fault) => fault.cuts ?? []);
  const losses = faults.flatMap((fault) => fault.losses ?? []).filter((loss) => loss.node === node);
  const incoming = cuts.filter(({ to }) => to === node).map(({ from }) => `ip saddr ${addressOf(from)} drop`);
  const outgoing = cuts
    .filter(({ from, to }) => from === node && to === clients)
    .map(({ to }) => `ip daddr ${addressOf(to)} drop`);
  const lossy = losses.map(({ percent }) => `numgen random mod 100 < ${percent} drop`);
  const chain = (hook: string, rules: readonly string[]): string =>
    `  chain ${hook} {\n    type filter hook ${hook} priority 0;\n${rules.map((rule) => `    ${rule}\n`).join('')}  }\n`;
  const unique = (rules: readonly string[]): string[] => [...new Set(rules)];
  const table = `${chain('input', unique([...incoming, ...lossy]))}${chain('output', unique([...outgoing, ...lossy]))}`;
  return `table inet fmq\ndelete table inet fmq\ntable inet fmq {\n${table}}\n`;
}
