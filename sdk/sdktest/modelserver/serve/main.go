// Program serve is a scripted model server for hand experiments with agent programs: it serves a script
// until it is interrupted, prints its URL, and then one line for each request, without bodies.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/drawspan/drawspan/sdk/sdktest/modelserver"
)

func main() {
	script := flag.String("script", "", "JSON file of the script; see the package modelserver")
	listen := flag.String("listen", "127.0.0.1:0", "address to serve on")
	bodies := flag.String("bodies", "", "directory to write requests' bodies to; they hold vendors' texts")
	flag.Parse()
	if err := serve(*script, *listen, *bodies); err != nil {
		fmt.Fprintln(os.Stderr, "serve:", err)
		os.Exit(1)
	}
}

func serve(file, listen, bodies string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the script: %w", err)
	}
	script, err := modelserver.ParseScript(text)
	if err != nil {
		return err
	}
	script.On = func(q modelserver.Request) {
		body := q.Body
		q.Body = nil
		line, err := json.Marshal(q)
		fmt.Println(string(line))
		if bodies != "" && err == nil {
			err = os.WriteFile(fmt.Sprintf("%s/%d.json", bodies, time.Now().UnixNano()), body, 0o600)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "serve:", err)
		}
	}
	s, err := modelserver.New(script)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	fmt.Printf("http://%s\n", l.Addr())
	return (&http.Server{Handler: s, ReadHeaderTimeout: time.Minute}).Serve(l)
}
