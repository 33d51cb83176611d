/** Makes the client in Go if it is not there yet, and prints where it lies: for callers that are no tests. */
import { goClient } from './toolchains.ts';

process.stdout.write(goClient().command);
