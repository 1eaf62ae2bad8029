// SPDX-License-Identifier: Apache-2.0

//go:build tools

package grpcurl

import _ "github.com/fullstorydev/grpcurl/cmd/grpcurl"
