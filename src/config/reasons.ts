// SPDX-License-Identifier: Apache-2.0

/** Why a file or directory cannot be used, in words that go at the end of a sentence. */
import { messageOf } from "../model/errors.ts";

/** By the system's own name of the error. */
const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "no such file",
  ENOTDIR: "a part of its path is not a directory",
  EISDIR: "it is a directory",
  EEXIST: "something else is there under that name",
  EACCES: "permission denied",
  EPERM: "permission denied",
  EROFS: "the file system is read-only",
  ENOSPC: "no space is left on the device",
  EDQUOT: "the quota is used up",
  ENAMETOOLONG: "the name is too long",
  ELOOP: "its links go round in a circle",
  EMFILE: "this process has too many files open",
  ENFILE: "the system has too many files open",
  EIO: "the device reports an error",
};

/** Without capitals, numbers of errors or the path, which the sentence has already. */
export function fileReason(error: unknown): string {
  // Before the codes: what the runtime refuses has none that the system would know.
  if (error instanceof Deno.errors.NotCapable) {
    return "outside of what this process may use (see bin/psp-agent)";
  }
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const known = REASONS[code];
  if (known !== undefined) return known;
  const text = messageOf(error);
  return text.replace(/ \(os error \d+\).*$/s, "").replaceAll(/\s*\n\s*/g, " ");
}
