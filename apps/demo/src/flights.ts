/** The real data set of the demo: 231,083 flights (delay, distance, time of day) from the npm package vega-datasets. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';

/** One record to produce. The key is unique, so that losses and doubles can be told apart. */
export interface DemoRecord {
  readonly key: string;
  readonly value: string;
}

export async function readFlights(): Promise<readonly DemoRecord[]> {
  const file = createRequire(import.meta.url).resolve('vega-datasets/data/flights-200k.json');
  const flights = JSON.parse(await readFile(file, 'utf8')) as readonly unknown[];
  return flights.map((flight, index) => ({ key: `flight-${index}`, value: JSON.stringify(flight) }));
}
