/** How a suite says how far it is: beside the results, which go to stdout. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
