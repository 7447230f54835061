package egress

import (
	"io"
	"net"
	"sync"
	"testing"
)

// BenchmarkCarry sends a mebibyte to an echoing server and back, over one tunnel and over one plain
// connection: the ratio is what the proxy costs.
func BenchmarkCarry(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				if _, err := io.Copy(c, c); err != nil {
					b.Logf("echo: %v", err)
				}
				_ = c.Close() // the other side has gone
			})
		}
	})
	b.Cleanup(func() {
		_ = l.Close() // ends the loop
		group.Wait()
	})
	through := func() net.Conn {
		rule, err := ParseRule("example.com")
		if err != nil {
			b.Fatal(err)
		}
		w := &world{t: b, names: &names{answers: map[string][]string{"example.com.": {public}}}, to: map[string]string{public: l.Addr().String()}}
		w.opt = Options{Rules: []Rule{rule}, Resolver: w.names, Dial: w.dial}
		c := w.start().connect()
		if _, err := io.WriteString(c, connectTo("example.com:443")); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, len("HTTP/1.1 200 Connection established\r\n\r\n"))); err != nil {
			b.Fatal(err)
		}
		return c
	}
	direct := func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		return c
	}
	for name, open := range map[string]func() net.Conn{"tunnel": through, "direct": direct} {
		b.Run(name, func(b *testing.B) {
			c := open()
			defer c.Close() //nolint:errcheck // the end of the benchmark
			block := make([]byte, 1<<20)
			b.SetBytes(2 << 20)
			for b.Loop() {
				sent := make(chan error, 1)
				go func() { _, err := c.Write(block); sent <- err }()
				if _, err := io.CopyN(io.Discard, c, int64(len(block))); err != nil {
					b.Fatal(err)
				}
				if err := <-sent; err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRefusal is a whole refused request: connect, head, verdict, answer, end.
func BenchmarkRefusal(b *testing.B) {
	w := (&world{t: b, names: &names{}}).start()
	raw := connectTo("evil.example:443")
	for b.Loop() {
		w.say(raw)
	}
}
