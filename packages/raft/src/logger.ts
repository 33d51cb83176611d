/**
 * The core's log port: one finished line per call. Levels mean: debug for flow control, info for changes of role, term,
 * vote and configuration, warn for what an operator should look at, error for misuse. Lines name nodes in hexadecimal.
 */
export interface RaftLogger {
  debug(line: string): void;
  info(line: string): void;
  warn(line: string): void;
  error(line: string): void;
}

export const silentRaftLogger: RaftLogger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/** A node id as log lines print it. */
export function hex(id: number): string {
  return id.toString(16);
}
