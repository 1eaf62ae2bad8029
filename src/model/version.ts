// SPDX-License-Identifier: Apache-2.0

import manifest from "../../deno.json" with { type: "json" };

/** The agent's own version, as in deno.json. */
export const VERSION: string = manifest.version;
