// A client of the first contract alone: grpc-go and stubs generated from proto/baseline/design.binpb, no code of FleetMQ.
//
// Usage: foreign exercise TOPIC GATEWAY BROKER [BROKER ...]   (host:port each)
//
//	foreign load ADDRESS TOPIC CALLERS BYTES SECONDS WARM-UP-SECONDS
//
// Each prints one JSON object.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	"example.com/foreign/stubs/client"
	"example.com/foreign/stubs/common"
)

type result struct {
	Offset  uint64   `json:"offset"`
	Leader  string   `json:"leader"`
	Fetched []string `json:"fetched"`
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// exercise produces and fetches at whichever of the addresses leads the partition, and asks for metadata there.
func exercise(name string, addresses []string, topic string) result {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	place := &common.TopicPartition{Topic: topic}
	for _, address := range addresses {
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		check(err)
		var records []*common.Record
		for i := range 3 {
			records = append(records, &common.Record{Key: []byte("go"), Value: fmt.Appendf(nil, "%s-%d", name, i)})
		}
		produced, err := client.NewProducerServiceClient(conn).Produce(ctx, &client.ProduceRequest{
			ClientId: "go", TopicPartition: place, Records: records, Acks: common.AcknowledgmentLevel_ACK_ALL,
		})
		check(err)
		if produced.ErrorCode == common.ErrorCode_NOT_LEADER {
			continue
		}
		if produced.ErrorCode != common.ErrorCode_OK {
			check(fmt.Errorf("produce: %v", produced))
		}
		fetched, err := client.NewConsumerServiceClient(conn).Fetch(ctx, &client.FetchRequest{
			ClientId: "go", MinBytes: 1, MaxBytes: 1 << 20, MaxWait: durationpb.New(2 * time.Second),
			Partitions: []*client.FetchPartition{{TopicPartition: place, FetchOffset: produced.Offset}},
		})
		check(err)
		found := result{Offset: produced.Offset, Leader: produced.LeaderId}
		for _, batch := range fetched.Partitions[0].Batches {
			for position, record := range batch.Records {
				if batch.BaseOffset+uint64(position) >= produced.Offset && len(found.Fetched) < 3 {
					found.Fetched = append(found.Fetched, string(record.Value))
				}
			}
		}
		metadata := client.NewMetadataServiceClient(conn)
		_, err = metadata.ListTopics(ctx, &client.ListTopicsRequest{})
		check(err)
		_, err = metadata.GetPartitionLeader(ctx, &client.GetPartitionLeaderRequest{})
		check(err)
		return found
	}
	check(fmt.Errorf("no leader among %v", addresses))
	return result{}
}

func number(text string) int {
	value, err := strconv.Atoi(text)
	check(err)
	return value
}

func main() {
	out := json.NewEncoder(os.Stdout)
	args := os.Args[2:]
	switch os.Args[1] {
	case "exercise":
		topic, gateway, brokers := args[0], args[1], args[2:]
		check(out.Encode(map[string]result{
			"gateway": exercise("gateway", []string{gateway}, topic),
			"broker":  exercise("broker", brokers, topic),
		}))
	case "load":
		length, warmUp := time.Duration(number(args[4]))*time.Second, time.Duration(number(args[5]))*time.Second
		check(out.Encode(load(args[0], args[1], number(args[2]), number(args[3]), length, warmUp)))
	default:
		check(fmt.Errorf("%s is neither exercise nor load", os.Args[1]))
	}
}
