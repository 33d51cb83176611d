/** Programs of the system: run to their end, with what they said when they fail. */
import { spawn } from 'node:child_process';
import { DomainError } from '@fleetmq/shared';

/** What it printed. UNKNOWN_ERROR with its stderr unless it ends with code 0. `input` goes to its stdin. */
export function run(program: string, parameters: readonly string[], input = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, parameters, { stdio: ['pipe', 'pipe', 'pipe'] });
    let output = '';
    let errors = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      errors += chunk.toString();
    });
    child.stdin.on('error', () => undefined); // A program that reads nothing may close it.
    const fail = (why: string): void => {
      reject(new DomainError('UNKNOWN_ERROR', `${program} ${parameters.join(' ')}: ${why}`));
    };
    child.once('error', (error) => fail(error.message));
    child.once('close', (code) => (code === 0 ? resolve(output) : fail(errors.trim() || `code ${code}`)));
    child.stdin.end(input);
  });
}
