/** Places between the steps of the Raft driver at which a test may hold a node up or end it. */
export type Failpoint = 'before-persist' | 'after-persist' | 'before-send' | 'before-apply' | 'after-apply';

export type Failpoints = (point: Failpoint) => void | Promise<void>;
