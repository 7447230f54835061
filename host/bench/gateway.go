package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/drawspan/drawspan/host/internal/gateway"
	"github.com/drawspan/drawspan/host/internal/redact"
)

// What a call of an agent in the middle of its work looks like.
const (
	questionSize = 100 << 10
	benchKey     = "bench-key"
	benchSecret  = "bench-credential-0123456789"
)

// measureGateway times the first byte of a model's answer through the gateway against the same service
// asked directly, over connections that are open already.
func measureGateway(ctx context.Context, _ *site) (figures []figure, err error) {
	far, shutFar, err := answering(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // what does not arrive shows in the measurement
		w.Header().Set("Content-Type", "text/event-stream")
		for range 3 {
			_, _ = io.WriteString(w, "data: {\"choices\":[{\"delta\":{\"content\":\"word\"}}],\"usage\":null}\n\n") // as above
			_ = http.NewResponseController(w).Flush()                                                               // as above
		}
	}))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, shutFar()) }()
	masked, err := redact.Exact([]redact.Secret{{Name: "model", Value: benchSecret}})
	if err != nil {
		return nil, err
	}
	g, err := gateway.New(gateway.Options{Wire: "chat", Upstream: far, Credential: benchSecret, Key: benchKey, Mask: masked.Stream})
	if err != nil {
		return nil, err
	}
	near, shutNear, err := answering(g)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, shutNear()) }()
	question := fmt.Appendf(nil, `{"model":"m","stream":true,"messages":[{"role":"user","content":%q}]}`, bytes.Repeat([]byte("word "), questionSize/5))
	client := &http.Transport{Proxy: nil}
	defer client.CloseIdleConnections()
	got, err := race(ctx, rounds{warm: 20, kept: 400},
		entrant{"through the gateway", func(ctx context.Context, _ int) (float64, error) { return firstByte(ctx, client, near, question) }},
		entrant{"directly", func(ctx context.Context, _ int) (float64, error) { return firstByte(ctx, client, far, question) }},
	)
	if err != nil {
		return nil, err
	}
	added := got[0].median() - got[1].median()
	return []figure{judged("gateway", "ms", added, got[1].median(), bar{oursAtMost, 1}).
		also("added to the first byte of an answer to %d KiB; floor: asked directly; p10-p90 through it %s, directly %s", questionSize>>10, got[0].spread(), got[1].spread())}, nil
}

// answering serves on this machine's loopback.
func answering(h http.Handler) (address string, shut func() error, err error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("listen on loopback: %w", err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }() // ends with shut
	return "http://" + l.Addr().String(), func() error {
		err := server.Close()
		if served := <-done; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	}, nil
}

// firstByte asks and says after how many milliseconds the answer began. The rest is read, too.
func firstByte(ctx context.Context, client *http.Transport, address string, question []byte) (ms float64, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address+"/v1/chat/completions", bytes.NewReader(question))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Authorization", "Bearer "+benchKey)
	began := time.Now()
	a, err := client.RoundTrip(r)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, a.Body.Close()) }()
	first := make([]byte, 1)
	if _, err := io.ReadFull(a.Body, first); err != nil {
		return 0, fmt.Errorf("read the first byte: %w", err)
	}
	took := time.Since(began)
	if _, err := io.Copy(io.Discard, a.Body); err != nil || a.StatusCode != http.StatusOK {
		return 0, errors.Join(err, fmt.Errorf("the answer is %s", a.Status))
	}
	return float64(took.Microseconds()) / 1000, nil
}
