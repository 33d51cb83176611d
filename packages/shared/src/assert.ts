/** Assertions are on in production: a broken invariant stops the process before it can spread. */

export class AssertionFailure extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'AssertionFailure';
  }
}

/** Throws AssertionFailure unless `condition` holds. For bugs only: bad input is a DomainError. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionFailure(message);
}

/** Ends a `switch` over a union: a case that is missing does not compile. */
export function unreachable(value: never): never {
  throw new AssertionFailure(`unreachable: ${describe(value)}`);
}

/** JSON where the value has one; a failed assertion must not fail on printing its state. */
function describe(value: unknown): string {
  try {
    return JSON.stringify(value, (_, part) => (typeof part === 'bigint' ? `${part}n` : part)) ?? String(value);
  } catch {
    return String(value);
  }
}
