/**
 * Transcripts of configuration changes without nodes: `simple`, `enter-joint autoleave=`, `leave-joint`, each with a body
 * of changes. One configuration per file, from the empty one on. The last log index starts at 0 and rises with every
 * command, failed ones too, so that the probe index of a new member tells when it was added.
 */
import { DomainError, isDomainError, type LogIndex } from '@fleetmq/shared';
import { type ChangerInput, type ChangerResult, changeSimple, enterJoint, leaveJoint } from '../conf-changer.ts';
import { describeConfig, describeProgressMap } from '../describe-config.ts';
import { noIndex, shift } from '../messages.ts';
import { emptyConfig } from '../tracker.ts';
import { parseChanges } from './commands.ts';
import type { Command } from './datadriven.ts';

/** Runs the commands of one file, one call each. */
export function createConfChangerRunner(): (command: Command) => string {
  let current: ChangerResult = { config: emptyConfig, progress: new Map() };
  let lastIndex: LogIndex = noIndex;
  return (command) => {
    const limits = { lastIndex, maxInflightMsgs: 10, maxInflightBytes: Number.POSITIVE_INFINITY };
    lastIndex = shift(lastIndex, 1);
    try {
      current = change({ ...limits, ...current }, command);
    } catch (error) {
      if (isDomainError(error)) return `${error.message}\n`;
      throw error;
    }
    return `${describeConfig(current.config)}\n${describeProgressMap(current.progress)}`;
  };
}

function change(input: ChangerInput, { name, args, input: body }: Command): ChangerResult {
  const changes = parseChanges(body);
  if (name === 'simple') return changeSimple(input, changes);
  if (name === 'enter-joint') {
    const autoLeave = args.find(({ key }) => key === 'autoleave')?.values[0] === 'true';
    return enterJoint(input, autoLeave, changes);
  }
  if (name !== 'leave-joint') throw new DomainError('INVALID_REQUEST', 'unknown command');
  if (changes.length > 0) throw new DomainError('INVALID_REQUEST', 'this command takes no input');
  return leaveJoint(input);
}
