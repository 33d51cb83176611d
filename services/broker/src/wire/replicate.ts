/** ReplicateDataRequest and ReplicateDataResponse (broker/replication.proto), written and read around the stored bytes. */
import { type ErrorName, errorName, errorNumber, fieldTag, WireReader, WireWriter, wireBytes } from '@fleetmq/shared';
import { readBool, readBytes, readText, readUint32, readUint53, readVersion, writeBool, writeText } from './fields.ts';

export interface ReplicateMessage {
  readonly clusterId: string;
  readonly leaderId: number;
  readonly leaderBrokerEpoch: number;
  readonly targetId: number;
  readonly topicId: string;
  readonly partition: number;
  readonly leaderEpoch: number;
  readonly baseOffset: number;
  readonly previousEpoch: number;
  readonly batches: Uint8Array;
  readonly highWatermark: number;
  readonly logStartOffset: number;
  readonly correlationId: number;
  readonly reset: boolean;
  readonly leaderEndOffset: number;
}

type Mutable<Type> = { -readonly [Key in keyof Type]: Type[Key] };

const nothing: Uint8Array = new Uint8Array(0);

/** The message as pieces: its small fields, then the batches as they were read. */
export function encodeReplicate(message: ReplicateMessage): Uint8Array[] {
  const writer = new WireWriter(160);
  writeText(writer, 2, message.clusterId);
  writer.varintField(3, message.leaderId);
  writer.varintField(4, message.leaderBrokerEpoch);
  writer.varintField(5, message.targetId);
  writeText(writer, 6, message.topicId);
  writer.varintField(7, message.partition);
  writer.varintField(8, message.leaderEpoch);
  writer.varintField(9, message.baseOffset);
  writer.varintField(10, message.previousEpoch);
  writer.varintField(12, message.highWatermark);
  writer.varintField(13, message.logStartOffset);
  writer.varintField(14, message.correlationId);
  writeBool(writer, 15, message.reset);
  writer.varintField(16, message.leaderEndOffset);
  if (message.batches.length === 0) return [writer.finish()];
  writer.varint(fieldTag(11, wireBytes)).varint(message.batches.length);
  return [writer.finish(), message.batches];
}

export function decodeReplicate(bytes: Uint8Array): ReplicateMessage {
  const message: Mutable<ReplicateMessage> = {
    clusterId: '',
    leaderId: 0,
    leaderBrokerEpoch: 0,
    targetId: 0,
    topicId: '',
    partition: 0,
    leaderEpoch: 0,
    baseOffset: 0,
    previousEpoch: 0,
    batches: nothing,
    highWatermark: 0,
    logStartOffset: 0,
    correlationId: 0,
    reset: false,
    leaderEndOffset: 0,
  };
  const reader = new WireReader(bytes);
  while (!reader.done) readReplicateField(reader, reader.varint(), message);
  return message;
}

function readReplicateField(reader: WireReader, tag: number, message: Mutable<ReplicateMessage>): void {
  const wireType = tag & 7;
  switch (tag >>> 3) {
    case 1:
      readVersion(reader, wireType);
      return;
    case 2:
      message.clusterId = readText(reader, wireType, 'cluster_id', 128);
      return;
    case 3:
      message.leaderId = readUint32(reader, wireType, 'leader_id');
      return;
    case 4:
      message.leaderBrokerEpoch = readUint53(reader, wireType, 'leader_broker_epoch');
      return;
    case 5:
      message.targetId = readUint32(reader, wireType, 'target_id');
      return;
    case 6:
      message.topicId = readText(reader, wireType, 'topic_id', 128);
      return;
    case 7:
      message.partition = readUint32(reader, wireType, 'partition');
      return;
    case 8:
      message.leaderEpoch = readUint32(reader, wireType, 'leader_epoch');
      return;
    case 9:
      message.baseOffset = readUint53(reader, wireType, 'base_offset');
      return;
    case 10:
      message.previousEpoch = readUint32(reader, wireType, 'previous_epoch');
      return;
    case 11:
      message.batches = readBytes(reader, wireType, 'batches');
      return;
    case 12:
      message.highWatermark = readUint53(reader, wireType, 'high_watermark');
      return;
    case 13:
      message.logStartOffset = readUint53(reader, wireType, 'log_start_offset');
      return;
    case 14:
      message.correlationId = readUint53(reader, wireType, 'correlation_id');
      return;
    case 15:
      message.reset = readBool(reader, wireType, 'reset');
      return;
    case 16:
      message.leaderEndOffset = readUint53(reader, wireType, 'leader_end_offset');
      return;
    default:
      reader.skip(wireType);
  }
}

export interface ReplicateAnswer {
  /** Undefined: OK. */
  readonly errorCode: ErrorName | undefined;
  readonly errorMessage: string;
  readonly correlationId: number;
  readonly topicId: string;
  readonly partition: number;
  readonly leaderEpoch: number;
  readonly durableEndOffset: number;
  readonly diverged: boolean;
  readonly divergingEpoch: number;
  readonly divergingEndOffset: number;
  readonly brokerEpoch: number;
  readonly endOffset: number;
}

export function encodeReplicateAnswer(answer: ReplicateAnswer): Uint8Array {
  const writer = new WireWriter(96);
  if (answer.errorCode !== undefined) {
    writer.varintField(1, errorNumber(answer.errorCode));
    writeText(writer, 2, answer.errorMessage.slice(0, 1_000));
  }
  writer.varintField(3, answer.correlationId);
  writeText(writer, 4, answer.topicId);
  writer.varintField(5, answer.partition);
  writer.varintField(6, answer.leaderEpoch);
  writer.varintField(7, answer.durableEndOffset);
  writeBool(writer, 8, answer.diverged);
  writer.varintField(9, answer.divergingEpoch);
  writer.varintField(10, answer.divergingEndOffset);
  writer.varintField(11, answer.brokerEpoch);
  return writer.varintField(12, answer.endOffset).finish();
}

export function decodeReplicateAnswer(bytes: Uint8Array): ReplicateAnswer {
  const answer: Mutable<ReplicateAnswer> = {
    errorCode: undefined,
    errorMessage: '',
    correlationId: 0,
    topicId: '',
    partition: 0,
    leaderEpoch: 0,
    durableEndOffset: 0,
    diverged: false,
    divergingEpoch: 0,
    divergingEndOffset: 0,
    brokerEpoch: 0,
    endOffset: 0,
  };
  const reader = new WireReader(bytes);
  while (!reader.done) readAnswerField(reader, reader.varint(), answer);
  return answer;
}

function readAnswerField(reader: WireReader, tag: number, answer: Mutable<ReplicateAnswer>): void {
  const wireType = tag & 7;
  switch (tag >>> 3) {
    case 1: {
      const number = readUint32(reader, wireType, 'error_code');
      answer.errorCode = number === 0 ? undefined : errorName(number);
      return;
    }
    case 2:
      answer.errorMessage = readText(reader, wireType, 'error_message', 8_192);
      return;
    case 3:
      answer.correlationId = readUint53(reader, wireType, 'correlation_id');
      return;
    case 4:
      answer.topicId = readText(reader, wireType, 'topic_id', 128);
      return;
    case 5:
      answer.partition = readUint32(reader, wireType, 'partition');
      return;
    case 6:
      answer.leaderEpoch = readUint32(reader, wireType, 'leader_epoch');
      return;
    case 7:
      answer.durableEndOffset = readUint53(reader, wireType, 'durable_end_offset');
      return;
    case 8:
      answer.diverged = readBool(reader, wireType, 'diverged');
      return;
    case 9:
      answer.divergingEpoch = readUint32(reader, wireType, 'diverging_epoch');
      return;
    case 10:
      answer.divergingEndOffset = readUint53(reader, wireType, 'diverging_end_offset');
      return;
    case 11:
      answer.brokerEpoch = readUint53(reader, wireType, 'broker_epoch');
      return;
    case 12:
      answer.endOffset = readUint53(reader, wireType, 'end_offset');
      return;
    default:
      reader.skip(wireType);
  }
}
