/**
 * From values to bytes and back. `null` is not a serde's business: a null value is a tombstone, a null key is no key, and
 * neither reaches a serde. Decoding throws what its format throws; the consumer hands that to the reader of the record.
 */
import { type DescMessage, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf';
import { DomainError } from '@fleetmq/shared';

export interface Serde<Value> {
  encode(value: Value): Uint8Array;
  decode(bytes: Uint8Array): Value;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

const bytes: Serde<Uint8Array> = { encode: (value) => value, decode: (value) => value };

const string: Serde<string> = {
  encode: (value) => encoder.encode(value),
  decode: (value) => decoder.decode(value),
};

/** JSON text in UTF-8. */
function json<Value>(): Serde<Value> {
  return {
    encode: (value) => encoder.encode(JSON.stringify(value)),
    decode: (value) => JSON.parse(decoder.decode(value)) as Value,
  };
}

/** One protobuf message, in binary. */
function protobuf<Schema extends DescMessage>(schema: Schema): Serde<MessageShape<Schema>> {
  return {
    encode: (value) => toBinary(schema, value),
    decode: (value) => fromBinary(schema, value),
  };
}

export const codec: {
  readonly bytes: Serde<Uint8Array>;
  readonly string: Serde<string>;
  readonly json: <Value>() => Serde<Value>;
  readonly protobuf: <Schema extends DescMessage>(schema: Schema) => Serde<MessageShape<Schema>>;
} = { bytes, string, json, protobuf };

/** What a producer takes without a serde: bytes as they are, strings as UTF-8. */
export type Plain = Uint8Array | string;

export const plainSerde: Serde<Plain> = {
  encode(value) {
    if (typeof value === 'string') return encoder.encode(value);
    if (value instanceof Uint8Array) return value;
    throw new DomainError(
      'INVALID_REQUEST',
      `a value of type ${typeof value} is neither bytes nor a string: give the producer a serde, such as codec.json()`,
    );
  },
  decode: (value) => value,
};
