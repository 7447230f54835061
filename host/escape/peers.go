package main

import "io"

func (g *rig) comparePeers(out io.Writer, jsonFile string) (int, error) { return 0, nil }
