/**
 * Transcripts of quorums: `committed` and `vote` with cfg= and cfgj= (members of the two halves; `zero` for an empty second
 * one), idx= or votes= in the order of the members, `_` for those who have not reported. Each command stands alone.
 *
 * Besides the result they print what would betray a wrong one: a slow count that disagrees, halves that cannot be
 * exchanged, a majority that differs when it is joined with nothing or with itself, lowered indexes that still count.
 */
import { DomainError } from '@fleetmq/shared';
import type { NodeId } from '../messages.ts';
import {
  type JointConfig,
  jointCommitted,
  jointVote,
  jointVoters,
  type MajorityConfig,
  majorityCommitted,
  majorityVote,
  sortedIds,
} from '../quorum.ts';
import type { Command } from './datadriven.ts';

type Acked = ReadonlyMap<NodeId, number>;

export function runQuorumCommand({ name, args }: Command): string {
  const list = (key: string): readonly string[] => args.find((arg) => arg.key === key)?.values ?? [];
  const isJoint = args.some(({ key }) => key === 'cfgj');
  const members = list('cfg').map(Number);
  const joined = list('cfgj')
    .filter((value) => value !== 'zero')
    .map(Number);
  const config: JointConfig = { incoming: new Set(members), outgoing: new Set(joined) };
  const values = list(name === 'vote' ? 'votes' : 'idx').map(name === 'vote' ? voteNumber : indexNumber);
  const voters = jointVoters(config);
  if (voters.length !== values.length) {
    const ids = voters.map((id) => `${id}:{}`).join(' ');
    return `error: mismatched input (explicit or _) for voters map[${ids}]: [${values.join(' ')}]`;
  }
  const reported = reports([...members, ...joined], values);
  if (name === 'committed') return isJoint ? commitJoint(config, reported) : commitMajority(config.incoming, reported);
  if (name === 'vote') return vote(config, isJoint, reported);
  throw new DomainError('INVALID_REQUEST', `unknown command: ${name}`);
}

/** Who reported what, in the order of first mention; 0 stands for "not reported". */
function reports(ids: readonly NodeId[], values: readonly number[]): Map<NodeId, number> {
  const order = [...new Set(ids)];
  return new Map(
    order.map((id, position): [NodeId, number] => [id, values[position] ?? 0]).filter(([, value]) => value !== 0),
  );
}

function commitMajority(config: MajorityConfig, acked: Acked): string {
  const index = majorityCommitted(config, (id) => acked.get(id));
  let text = describeCommit(config, acked);
  const compare = (other: number, label: string): void => {
    if (other !== index) text += `${formatIndex(other)} <-- ${label}\n`;
  };
  compare(slowCommitted(config, acked), 'via alternative computation');
  compare(
    jointCommitted({ incoming: config, outgoing: new Set() }, (id) => acked.get(id)),
    'via zero-joint quorum',
  );
  compare(
    jointCommitted({ incoming: config, outgoing: config }, (id) => acked.get(id)),
    'via self-joint quorum',
  );
  for (const id of config) {
    const own = acked.get(id) ?? 0;
    if (own === 0 || own >= index) continue;
    // What is already below the result may fall further without changing it.
    for (const lower of [own - 1, 0]) {
      const lowered = new Map(acked).set(id, lower);
      compare(
        majorityCommitted(config, (other) => lowered.get(other)),
        `overlaying ${id}->${lower === 0 ? 0 : own}`,
      );
    }
  }
  return `${text}${formatIndex(index)}\n`;
}

function commitJoint(config: JointConfig, acked: Acked): string {
  const lookup = (id: NodeId): number | undefined => acked.get(id);
  const index = jointCommitted(config, lookup);
  const swapped = jointCommitted({ incoming: config.outgoing, outgoing: config.incoming }, lookup);
  const symmetry = swapped === index ? '' : `${formatIndex(swapped)} <-- via symmetry\n`;
  return `${describeCommit(new Set(jointVoters(config)), acked)}${symmetry}${formatIndex(index)}\n`;
}

function vote(config: JointConfig, isJoint: boolean, numbers: Acked): string {
  const votes = new Map([...numbers].map(([id, number]) => [id, number === 2]));
  if (!isJoint) return `${majorityVote(config.incoming, votes)}\n`;
  const result = jointVote(config, votes);
  const swapped = jointVote({ incoming: config.outgoing, outgoing: config.incoming }, votes);
  return `${swapped === result ? '' : `${swapped} <-- via symmetry\n`}${result}\n`;
}

/** The definition, word by word: the largest reported index that at least a majority has reached. */
function slowCommitted(config: MajorityConfig, acked: Acked): number {
  if (config.size === 0) return Number.POSITIVE_INFINITY;
  const hasMajority = (index: number): boolean =>
    [...config].filter((id) => (acked.get(id) ?? 0) >= index).length > config.size / 2;
  return Math.max(0, ...[...acked.values()].filter(hasMajority));
}

/** One line per voter, with a bar as long as the number of voters that are behind it. */
function describeCommit(config: MajorityConfig, acked: Acked): string {
  const size = config.size;
  if (size === 0) return '<empty majority quorum>';
  const ids = sortedIds(config);
  const lines = ids.map((id) => {
    const index = acked.get(id) ?? 0;
    const behind = ids.filter((other) => (acked.get(other) ?? 0) < index).length;
    const bar = acked.has(id) ? `${'x'.repeat(behind)}>${' '.repeat(size - behind)}` : `?${' '.repeat(size)}`;
    return `${bar} ${String(index).padStart(5)}    (id=${id})\n`;
  });
  return `${' '.repeat(size)}    idx\n${lines.join('')}`;
}

function formatIndex(index: number): string {
  return index === Number.POSITIVE_INFINITY ? '∞' : String(index);
}

function indexNumber(text: string): number {
  return text === '_' ? 0 : Number(text);
}

function voteNumber(text: string): number {
  if (text === '_') return 0;
  if (text !== 'y' && text !== 'n') throw new DomainError('INVALID_REQUEST', `unknown vote: ${text}`);
  return text === 'y' ? 2 : 1;
}
