// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package conformance names the program that is built from another module, so that go.sum pins it.
package conformance

import _ "connectrpc.com/conformance/cmd/connectconformance"
