/** The real data set of the demo: 200,000 flights (delay, distance, time of day) from the npm package vega-datasets. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

/** One record to produce. The key is unique, so that losses and doubles can be told apart. */
export interface DemoRecord {
  readonly key: string;
  readonly value: string;
}

export async function readFlights(): Promise<readonly DemoRecord[]> {
  // The package exports its program alone; the data lies beside it.
  const file = fileURLToPath(new URL('../node_modules/vega-datasets/data/flights-200k.json', import.meta.url));
  const flights = JSON.parse(await readFile(file, 'utf8')) as readonly unknown[];
  return flights.map((flight, index) => ({ key: `flight-${index}`, value: JSON.stringify(flight) }));
}
