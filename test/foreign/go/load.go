package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"example.com/foreign/stubs/client"
	"example.com/foreign/stubs/common"
)

// loadResult is what a closed loop came to. Latencies are in milliseconds; failed calls are not among them.
type loadResult struct {
	PerSecond float64 `json:"perSecond"`
	P50       float64 `json:"p50"`
	P99       float64 `json:"p99"`
	Errors    int     `json:"errors"`
}

// load produces one record per call over one connection: each of the callers calls again when it has its answer.
// The clock starts after the warm-up.
func load(address, topic string, callers, recordBytes int, length, warmUp time.Duration) loadResult {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(err)
	defer conn.Close()
	producer := client.NewProducerServiceClient(conn)
	request := &client.ProduceRequest{
		ClientId: "go", TopicPartition: &common.TopicPartition{Topic: topic}, Acks: common.AcknowledgmentLevel_ACK_ALL,
		Records: []*common.Record{{Value: make([]byte, recordBytes)}},
	}
	from := time.Now().Add(warmUp)
	until := from.Add(length)
	var mutex sync.Mutex
	var latencies []time.Duration
	errors := 0
	var running sync.WaitGroup
	for range callers {
		running.Add(1)
		go func() {
			defer running.Done()
			var own []time.Duration
			failed := 0
			for start := time.Now(); start.Before(until); start = time.Now() {
				ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
				answer, err := producer.Produce(ctx, request)
				cancel()
				end := time.Now()
				if err != nil || answer.ErrorCode != common.ErrorCode_OK {
					failed++
				} else if !start.Before(from) && !end.After(until) {
					own = append(own, end.Sub(start))
				}
			}
			mutex.Lock()
			defer mutex.Unlock()
			latencies = append(latencies, own...)
			errors += failed
		}()
	}
	running.Wait()
	slices.Sort(latencies)
	at := func(part float64) float64 {
		if len(latencies) == 0 {
			return 0
		}
		return latencies[int(part*float64(len(latencies)-1))].Seconds() * 1000
	}
	return loadResult{float64(len(latencies)) / length.Seconds(), at(0.5), at(0.99), errors}
}
