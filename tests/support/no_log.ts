// SPDX-License-Identifier: Apache-2.0

/** A log that nobody reads. */
import type { Log } from "../../src/model/log.ts";

const none = () => {};
export const NO_LOG: Log = { debug: none, info: none, warn: none, error: none };
