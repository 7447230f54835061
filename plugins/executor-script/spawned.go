package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// spawned is the life of a process that the action spawn started; false in the plugin itself.
func spawned() bool {
	raw, ok := os.LookupEnv(spawnKey)
	if !ok {
		return false
	}
	var o spawnOrder
	if err := json.Unmarshal([]byte(raw), &o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for range o.Children {
		child := self(spawnOrder{Life: o.Life, Deaf: o.Deaf})
		child.Stderr = os.Stderr
		if err := child.Start(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if o.Children > 0 {
		return true
	}
	if o.Deaf {
		signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	}
	time.Sleep(o.Life)
	return true
}
