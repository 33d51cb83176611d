/**
 * The records of a batch as loose ones. A record is the same message in ProduceRequest (field 4) as in RecordBatch (field 7),
 * so its bytes are copied and only the tags differ.
 */
import { WireReader } from '@fleetmq/shared';
import { batchField, looseRecordTag } from './layout.ts';

/** Entries of `ProduceRequest.records`, in the batch's order; undefined for a batch that is compressed. */
export function looseRecords(batch: Uint8Array): Uint8Array | undefined {
  const reader = new WireReader(batch);
  let from = batch.length;
  while (!reader.done) {
    const start = reader.position;
    const field = reader.next();
    if (field === batchField.compressedRecords) return undefined;
    if (field === batchField.records) {
      from = start;
      break;
    }
    reader.skip(reader.wireType);
  }
  return retagged(batch.slice(from));
}

/** A builder's records lie behind one another, with nothing behind them. */
function retagged(records: Uint8Array): Uint8Array {
  const reader = new WireReader(records);
  while (!reader.done) {
    records[reader.position] = looseRecordTag;
    reader.next();
    reader.skip(reader.wireType);
  }
  return records;
}
