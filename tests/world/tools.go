// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package world names the programs that are built from other modules, so that go.sum pins them.
package world

import _ "github.com/summerwind/h2spec/cmd/h2spec"
