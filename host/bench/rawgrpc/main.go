// Command rawgrpc is the floor of starting a plugin: a gRPC server on a unix socket that answers the
// first calls of the plugin protocol, with no handshake library, verification or sandbox around it. It
// serves on the socket that its argument names and says so in one line.
package main

import (
	"context"
	"fmt"
	"net"
	"os"

	"google.golang.org/grpc"

	pb "github.com/drawspan/drawspan/sdk/proto/v1alpha"
)

func main() {
	if err := serve(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("one argument is needed: the socket")
	}
	l, err := net.Listen("unix", args[0])
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	g := grpc.NewServer()
	pb.RegisterBaseServer(g, greeter{})
	if _, err := os.Stdout.WriteString("ready\n"); err != nil {
		return fmt.Errorf("say that it listens: %w", err)
	}
	return g.Serve(l)
}

// greeter answers Hello and Configure and nothing else.
type greeter struct{ pb.UnimplementedBaseServer }

func (greeter) Hello(context.Context, *pb.HelloRequest) (*pb.HelloReply, error) {
	return &pb.HelloReply{Sdk: "raw"}, nil
}

func (greeter) Configure(context.Context, *pb.ConfigureRequest) (*pb.ConfigureReply, error) {
	return &pb.ConfigureReply{}, nil
}
