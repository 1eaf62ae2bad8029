// SPDX-License-Identifier: Apache-2.0

// Command tlsclient connects by TLS 1.3 with the groups that it is told, asks for /healthz, and prints which group
// was agreed on: tlsclient ADDRESS CERT KEY GROUP...
package main

import (
	"crypto/tls"
	"fmt"
	"os"
)

var groups = map[string]tls.CurveID{
	"X25519":         tls.X25519,
	"P-256":          tls.CurveP256,
	"X25519MLKEM768": tls.X25519MLKEM768,
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Println("refused:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 4 {
		return fmt.Errorf("want ADDRESS CERT KEY GROUP..., have %d arguments", len(args))
	}
	certificate, err := tls.LoadX509KeyPair(args[1], args[2])
	if err != nil {
		return err
	}
	var offered []tls.CurveID
	for _, name := range args[3:] {
		group, known := groups[name]
		if !known {
			return fmt.Errorf("unknown group %q", name)
		}
		offered = append(offered, group)
	}
	connection, err := tls.Dial("tcp", args[0], &tls.Config{
		// Whose certificate it is, is not what is tried here.
		InsecureSkipVerify: true,
		Certificates:       []tls.Certificate{certificate},
		CurvePreferences:   offered,
		MinVersion:         tls.VersionTLS13,
	})
	if err != nil {
		return err
	}
	defer connection.Close()
	if _, err := fmt.Fprint(connection, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	answer := make([]byte, 8)
	if _, err := connection.Read(answer); err != nil {
		return err
	}
	fmt.Println(connection.ConnectionState().CurveID, string(answer))
	return nil
}
