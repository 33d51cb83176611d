export type { PowerSummary } from './judge.ts';
export { formatSummary } from './report.ts';
export { missingRequirement } from './requirements.ts';
export { type PowerOptions, runPower } from './run.ts';
