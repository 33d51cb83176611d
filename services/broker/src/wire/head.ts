/** What all requests of clients begin with: the version of the contract (field 1) and the client's id (field 2). */
import { readVersion } from '@fleetmq/metadata';
import { type FieldTable, readText } from '@fleetmq/shared';

const clientIdBytesMax = 249;

/** Checks the two and keeps neither. UNSUPPORTED_VERSION, INVALID_REQUEST. */
export const headFields: FieldTable<unknown> = {
  1: readVersion,
  2: (reader) => {
    readText(reader, 'client_id', clientIdBytesMax);
  },
};
