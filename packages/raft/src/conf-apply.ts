/** One configuration change on top of the active configuration: simple, into or out of a joint one, as the change says. */
import { entersJoint, type JointConfChange, leavesJoint } from './conf-change.ts';
import { type ChangerResult, changeSimple, enterJoint, leaveJoint } from './conf-changer.ts';
import type { RaftCore } from './core.ts';

/** The configuration after the change; the core stays as it is. Throws INVALID_REQUEST when the change does not fit. */
export function applyToConfig(core: RaftCore, change: JointConfChange): ChangerResult {
  const input = {
    config: core.tracker.config,
    progress: core.tracker.progress,
    lastIndex: core.log.lastIndex(),
    maxInflightMsgs: core.config.maxInflightMsgs,
    maxInflightBytes: core.config.maxInflightBytes,
  };
  if (leavesJoint(change)) return leaveJoint(input);
  const entering = entersJoint(change);
  if (entering !== undefined) return enterJoint(input, entering.autoLeave, change.changes);
  return changeSimple(input, change.changes);
}
