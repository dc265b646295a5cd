// Command independent checks a transparency log, or witnesses one, with Go's own checksum-database code
// (golang.org/x/mod/sumdb). It shares nothing with the registry: what it accepts, any client of C2SP tlog-tiles would.
//
//	independent audit FOLDER VKEY [OLD-CHECKPOINT]
//	independent witness NAME SEED LOG-VKEY STATE-FILE
package main

import (
	"errors"
	"fmt"
	"os"
)

var errUsage = errors.New("audit FOLDER VKEY [OLD-CHECKPOINT], or witness NAME SEED LOG-VKEY STATE-FILE")

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	switch {
	case len(arguments) == 3 && arguments[0] == "audit":
		return audit(arguments[1], arguments[2], "")
	case len(arguments) == 4 && arguments[0] == "audit":
		return audit(arguments[1], arguments[2], arguments[3])
	case len(arguments) == 5 && arguments[0] == "witness":
		return serve(arguments[1], arguments[2], arguments[3], arguments[4])
	}
	return errUsage
}
