/** ReplicateDataRequest and ReplicateDataResponse (broker/replication.proto), written and read around the stored bytes. */
import { readVersion } from '@fleetmq/metadata';
import {
  boundText,
  type ErrorName,
  errorNumber,
  type FieldTable,
  property,
  readBool,
  readBytes,
  readErrorCode,
  readErrorMessage,
  readFields,
  readUint32,
  readUint53,
  text,
  WireReader,
  WireWriter,
  writeBool,
  writeText,
} from '@fleetmq/shared';

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
  readonly mayRebuild: boolean;
}

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
  writeBool(writer, 17, message.mayRebuild);
  if (message.batches.length === 0) return [writer.finish()];
  return [writer.bytesHeader(11, message.batches.length).finish(), message.batches];
}

/** Bytes of an id of the cluster or of a topic. */
const idBytesMax = 128;

const replicateFields: FieldTable<ReplicateMessage> = {
  1: readVersion,
  2: property('clusterId', 'cluster_id', text(idBytesMax)),
  3: property('leaderId', 'leader_id', readUint32),
  4: property('leaderBrokerEpoch', 'leader_broker_epoch', readUint53),
  5: property('targetId', 'target_id', readUint32),
  6: property('topicId', 'topic_id', text(idBytesMax)),
  7: property('partition', 'partition', readUint32),
  8: property('leaderEpoch', 'leader_epoch', readUint32),
  9: property('baseOffset', 'base_offset', readUint53),
  10: property('previousEpoch', 'previous_epoch', readUint32),
  11: property('batches', 'batches', readBytes),
  12: property('highWatermark', 'high_watermark', readUint53),
  13: property('logStartOffset', 'log_start_offset', readUint53),
  14: property('correlationId', 'correlation_id', readUint53),
  15: property('reset', 'reset', readBool),
  16: property('leaderEndOffset', 'leader_end_offset', readUint53),
  17: property('mayRebuild', 'may_rebuild', readBool),
};

export function decodeReplicate(bytes: Uint8Array): ReplicateMessage {
  return readFields(new WireReader(bytes), replicateFields, {
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
    mayRebuild: false,
  });
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
    writeText(writer, 2, boundText(answer.errorMessage));
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

const answerFields: FieldTable<ReplicateAnswer> = {
  1: property('errorCode', 'error_code', readErrorCode),
  2: property('errorMessage', 'error_message', readErrorMessage),
  3: property('correlationId', 'correlation_id', readUint53),
  4: property('topicId', 'topic_id', text(idBytesMax)),
  5: property('partition', 'partition', readUint32),
  6: property('leaderEpoch', 'leader_epoch', readUint32),
  7: property('durableEndOffset', 'durable_end_offset', readUint53),
  8: property('diverged', 'diverged', readBool),
  9: property('divergingEpoch', 'diverging_epoch', readUint32),
  10: property('divergingEndOffset', 'diverging_end_offset', readUint53),
  11: property('brokerEpoch', 'broker_epoch', readUint53),
  12: property('endOffset', 'end_offset', readUint53),
};

export function decodeReplicateAnswer(bytes: Uint8Array): ReplicateAnswer {
  return readFields(new WireReader(bytes), answerFields, {
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
  });
}
