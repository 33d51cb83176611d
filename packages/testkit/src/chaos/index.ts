export type { Summary } from './judge.ts';
export { formatSummary } from './report.ts';
export { missingRequirement } from './requirements.ts';
export { type ChaosOptions, runChaos } from './run.ts';
