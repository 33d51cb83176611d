/** docs/errors.md from the catalogue in packages/shared/src/errors.ts: `generate` writes it, `check` compares it. */
import { join } from 'node:path';
import { errorCatalogue } from '../packages/shared/src/errors.ts';
import { root } from './tools.ts';

export const errorsPagePath: string = join(root, 'docs', 'errors.md');

export function errorsPage(): string {
  const rows = Object.entries(errorCatalogue).map(([name, { number, status, retriable, advice }]) => {
    const cells = [number, `\`${name}\``, `\`${status}\``, retriable ? 'yes' : 'no', advice];
    return `| ${cells.join(' | ')} |`;
  });
  return [
    '# Errors',
    '',
    '<!-- Written by `npm run generate` from packages/shared/src/errors.ts. -->',
    '',
    'The call did not run: a status with `ErrorResponse` as its detail. The call ran and one partition or record failed:',
    '`error_code` in the body, with status OK. Both carry the same codes; each says whether the same call may succeed when',
    'it is repeated, and what to do to go on. TIMEOUT and NOT_ENOUGH_REPLICAS_AFTER_APPEND never claim that nothing was written.',
    '',
    '| number | code | status | retriable | to go on |',
    '|---|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}
