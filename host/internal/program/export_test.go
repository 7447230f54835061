package program

// Shebang is how a script's first line is read.
func Shebang(head []byte) (name string, script bool) { return shebang(head) }
