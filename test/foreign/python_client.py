"""A client of the first contract alone: grpcio and stubs generated from proto/baseline/design.binpb, no code of FleetMQ.

Usage: python_client.py TOPIC GATEWAY BROKER [BROKER ...]   (host:port each). Prints one JSON object.
"""
import json
import sys

import grpc

from client import consumer_pb2, consumer_pb2_grpc, metadata_pb2, metadata_pb2_grpc, producer_pb2, producer_pb2_grpc
from common import errors_pb2, types_pb2


def produce(channel, topic, values):
    request = producer_pb2.ProduceRequest(
        client_id="python",
        topic_partition=types_pb2.TopicPartition(topic=topic, partition=0),
        records=[types_pb2.Record(key=b"python", value=v, headers=[types_pb2.Header(key="h", value=b"1")]) for v in values],
        acks=types_pb2.ACK_ALL,
    )
    return producer_pb2_grpc.ProducerServiceStub(channel).Produce(request, timeout=20)


def fetch(channel, topic, offset):
    request = consumer_pb2.FetchRequest(client_id="python", min_bytes=1, max_bytes=1 << 20)
    request.max_wait.FromMilliseconds(2000)
    partition = request.partitions.add(fetch_offset=offset)
    partition.topic_partition.topic = topic
    response = consumer_pb2_grpc.ConsumerServiceStub(channel).Fetch(request, timeout=20)
    answer = response.partitions[0]
    values = []
    for batch in answer.batches:
        for position, record in enumerate(batch.records):
            if batch.base_offset + position >= offset:
                values.append(record.value.decode())
    return answer.error_code, values


def exercise(name, addresses, topic):
    """Produces and fetches at whichever of the addresses leads the partition, and asks for metadata there."""
    for address in addresses:
        channel = grpc.insecure_channel(address)
        values = [f"{name}-{i}".encode() for i in range(3)]
        produced = produce(channel, topic, values)
        if produced.error_code == errors_pb2.NOT_LEADER:
            continue
        assert produced.error_code == errors_pb2.OK, produced
        error, fetched = fetch(channel, topic, produced.offset)
        assert error == errors_pb2.OK, error
        metadata = metadata_pb2_grpc.MetadataServiceStub(channel)
        metadata.ListTopics(metadata_pb2.ListTopicsRequest(), timeout=20)
        metadata.GetPartitionLeader(metadata_pb2.GetPartitionLeaderRequest(), timeout=20)
        return {"offset": produced.offset, "leader": produced.leader_id, "fetched": fetched[:3]}
    raise SystemExit(f"no leader among {addresses}")


if __name__ == "__main__":
    topic, gateway, brokers = sys.argv[1], sys.argv[2], sys.argv[3:]
    print(json.dumps({"gateway": exercise("gateway", [gateway], topic), "broker": exercise("broker", brokers, topic)}))
