import { setTimeout as delay } from 'node:timers/promises';
import { nodeClock, nodeTimers } from '@fleetmq/shared/runtime';
import { clockSuite } from './clock.ts';

clockSuite("Node's clock", () => ({ clock: nodeClock, timers: nodeTimers, advance: (ms) => delay(ms + 2) }));
