export { mainOf, startTestFleet, type TestFleet, type TestFleetOptions } from './processes.ts';
