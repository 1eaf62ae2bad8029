// SPDX-License-Identifier: Apache-2.0

/** The program: the command line, and what must hold for the whole process. */
import { main } from "./src/cli/main.ts";

if (import.meta.main) Deno.exit(await main(Deno.args));
