// SPDX-License-Identifier: Apache-2.0

/** The words of whatever was thrown. */

/** The message of an error; anything else as text. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
